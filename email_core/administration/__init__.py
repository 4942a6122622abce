"""What an administrator does: each operation of the management plane, and the tasks that follow from it."""
