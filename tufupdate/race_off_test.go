//go:build !race

package tufupdate_test

const withRace = false
