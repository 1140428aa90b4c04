"""The book of rules as everybody reads it: its pages, what holds of them, and following it while events flow."""
