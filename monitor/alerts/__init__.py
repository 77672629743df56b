"""When an alert is raised: rules, what watches over them, and what they would have done."""
