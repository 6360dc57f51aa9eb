package tufupdate

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheCacheForgetsWhatWasNotUsedForLongest(t *testing.T) {
	s := &state{}
	c := newCache(3 * s.size())
	for _, app := range []string{"a", "b", "c"} {
		c.put(app, s)
	}
	c.get("a")
	c.put("d", s)
	assert.Nil(t, c.get("b"))
	for _, app := range []string{"a", "c", "d"} {
		assert.NotNil(t, c.get(app), app)
	}
	for i := range 1000 {
		c.put(fmt.Sprint(i), s)
	}
	assert.Len(t, c.apps, 3)
	assert.Equal(t, 3, c.used.Len())
	assert.Equal(t, c.limit, c.size)
	c.put("999", s)
	assert.Equal(t, c.limit, c.size, "what is put again takes its own place")
	c.drop("999")
	c.drop("999")
	assert.Equal(t, 2*s.size(), c.size)
}

func TestWhatDoesNotFitIsNotRemembered(t *testing.T) {
	s := &state{}
	c := newCache(s.size() - 1)
	c.put("a", s)
	assert.Nil(t, c.get("a"))
	assert.Zero(t, c.size)
	none := newCache(-1)
	none.add("a", s)
	assert.Nil(t, none.get("a"))
}
