"""Reads single files, whatever dataset they are of."""
