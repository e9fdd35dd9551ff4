"""Builds extensions for candidates: by the trusted side, in a sandbox of their own, into a content-addressed cache."""
