"""Batches of prompts at providers: submitted once, found again from any process, booked once."""
