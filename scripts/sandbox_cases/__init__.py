"""Programs for `sandbox_campaign.py`: hostile ones, honest ones, and spoofs that try to be rewarded for wrong results."""
