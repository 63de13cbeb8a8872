// Package config turns flags, environment variables and a configuration file
// into one checked [Config].
//
//	flag > environment > file > default
//	  └────────┴─────────┴──▶ one table of options ──▶ Config ──▶ Validate
//
// Every setting is one row of a table (options.go): its key in the file, its
// flag, its variable, its type and its allowed range. So no layer can know a
// setting that another does not, an unknown key can be told from a known one,
// and every error names the setting as the user wrote it, the value, and what
// would be accepted.
package config
