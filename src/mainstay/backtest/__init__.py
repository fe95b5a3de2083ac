"""History through the watch, before anything is deployed: what would have been told, when, and was it right?

Owns how a file or a journal becomes requests again, the clock that stands where the history is, and the report. May
import the stages below (watch, comparison, attach) and parts. Keeps true: the judging is the live watch's own turn,
over a store in memory; nothing of a project is written; what is told at a moment rests on what had arrived by then.
"""
