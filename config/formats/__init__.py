"""How the admin writes dates where no template says it otherwise."""
