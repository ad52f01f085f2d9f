"""Work that is not live: jobs, their schedule, the daily report."""
