"""What is wrong with this machine or this project, each finding with its remedy. Imports everything below."""
