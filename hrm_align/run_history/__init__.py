"""Runs read back from their folders, without torch: what a run did (`reading`), two or more side by side (`comparison`)."""
