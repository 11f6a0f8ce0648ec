// Package script says what a script is: its name, its file, the kernel module it becomes, the state it is in.
// It also holds the vocabulary that the HTTP front end and the script actors share, so that neither has to know the other: Query, Answer, Status and the sentinel errors.
//
// Everything here is a value or a pure function, but for Scan, which reads a folder, and Instance.Lock, which holds a file. All of it may be called from any goroutine.
package script
