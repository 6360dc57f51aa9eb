package content

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadKeepsToTheLimit(t *testing.T) {
	for name, c := range map[string]struct {
		text        string
		size, limit int64
		fits        bool
	}{
		"empty":                          {"", 0, 4, true},
		"below":                          {"abc", 3, 4, true},
		"exactly the limit":              {"abcd", 4, 4, true},
		"exactly the limit, size unsaid": {"abcd", -1, 4, true},
		"over":                           {"abcde", 5, 4, false},
		"over, size unsaid":              {"abcde", -1, 4, false},
		"over, size understated":         {"abcde", 2, 4, false},
		"size overstated":                {"ab", 4, 4, true},
		"nothing allowed, nothing there": {"", 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			data, fits, err := Read(iotest.OneByteReader(strings.NewReader(c.text)), c.size, c.limit)
			require.NoError(t, err)
			assert.Equal(t, c.fits, fits)
			if c.fits {
				assert.Equal(t, c.text, string(data))
			} else {
				assert.Nil(t, data)
			}
		})
	}
}

func TestReadFailsWithItsReader(t *testing.T) {
	broken := errors.New("broken")
	for _, limit := range []int64{3, 10} { // while reading, and while looking for what is over the limit
		_, _, err := Read(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), -1, limit)
		require.ErrorIs(t, err, broken)
	}
}

func TestBothHashesAgree(t *testing.T) {
	streamed, err := HashOf(strings.NewReader("abc"))
	require.NoError(t, err)
	assert.Equal(t, Hash([]byte("abc")), streamed)
	assert.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", streamed)
}
