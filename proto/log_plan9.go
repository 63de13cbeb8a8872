package proto

// systemResets is empty: Plan 9 has no numbers for errors.
var systemResets []error
