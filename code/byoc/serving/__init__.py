"""Inside the serving image: `serve`, the model server behind it, and the functions it calls."""
