"""The command line: one table of verbs, one file a verb, each verb thin around an operation."""
