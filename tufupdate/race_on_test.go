//go:build race

package tufupdate_test

// withRace says whether the race detector is on, which makes tests many times slower. Those that go
// through many cases take a few then.
const withRace = true
