"""The database engine `config.postgresql`: Django's, with a check of kept connections that asks the server nothing."""
