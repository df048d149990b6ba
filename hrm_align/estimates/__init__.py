"""What a run will take, before it is started. Nothing is loaded and nothing is trained."""
