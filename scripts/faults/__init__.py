"""The faults of fault_campaign.py: `runs` starts and compares runs, each other file holds one kind of fault."""
