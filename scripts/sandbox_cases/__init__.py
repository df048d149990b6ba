"""Programs for `sandbox_campaign.py`: hostile ones, honest ones and those that would be paid for nothing."""
