"""The faults of fault_campaign.py: `runs` starts and compares runs; each other module injects one kind of fault."""
