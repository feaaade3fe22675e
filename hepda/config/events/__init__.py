"""The analysis file of collider events: its sections and the checks that cross them."""
