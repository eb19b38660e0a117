"""Where planning, engines, laws and reports meet: one module a verb."""
