"""A version as a container's build context, and the project's CI. Imports everything below."""
