"""What `morelli.audit` is made of; users import none of it."""
