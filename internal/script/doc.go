// Package script says what a script is: its name, its file, what the header of
// the file asks for, who could change it, the kernel module it becomes, the
// state it is in.
// It also holds the vocabulary that the HTTP front end and the script actors
// share, so that neither has to know the other: Query, Answer, Status and the
// sentinel errors.
//
// Everything here is a value or a pure function, but for Scan and Inspect,
// which read a folder and the beginning of its scripts, CheckTrust, which looks
// at files, and Instance.Lock, which holds one. All of it may be called from
// any goroutine.
package script
