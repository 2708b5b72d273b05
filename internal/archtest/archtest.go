// Package archtest holds the architecture in tests: who may import whom, who
// knows D-Bus, sensors and SQL, how long a file may be, and what has to be
// explained. Each rule names what breaks it and says what to do.
//
// It reads the project's files as text and syntax and imports nothing of
// brainjar.
package archtest
