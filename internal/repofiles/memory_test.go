package repofiles

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestStatesThatWereNotUsedForLongestAreForgotten(t *testing.T) {
	s := State{Files: map[string]*File{}}
	m := NewMemory(3 * s.size())
	for _, app := range []string{"a", "b", "c"} {
		m.Commit(app, s)
	}
	m.State("a")
	m.Commit("d", s)
	assert.Equal(t, State{}, m.State("b"))
	for _, app := range []string{"a", "c", "d"} {
		assert.Equal(t, s, m.State(app), app)
	}
	for i := range 1000 {
		m.Commit(fmt.Sprint(i), s)
	}
	assert.Equal(t, 3, m.recent.Len())
	assert.Equal(t, m.limit, m.size)
	m.Commit("999", s)
	assert.Equal(t, m.limit, m.size, "what is committed again takes its own place")
	m.Forget("999")
	m.Forget("999")
	assert.Equal(t, 2*s.size(), m.size)
}

func TestAStateThatDoesNotFitIsNotRemembered(t *testing.T) {
	s := State{Files: map[string]*File{}}
	m := NewMemory(s.size() - 1)
	m.Commit("a", s)
	assert.Equal(t, State{}, m.State("a"))
	assert.Zero(t, m.size)
	none := NewMemory(-1)
	none.Offer("a", s)
	assert.Equal(t, State{}, none.State("a"))
}

func TestLookingForAnAppLeavesNothingBehind(t *testing.T) {
	m := NewMemory(1 << 20)
	m.State("a")

	m.Forget("a")
	assert.Empty(t, m.apps)
}
