package tasks_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

func TestACodeMarksAnErrorAndChangesNothingElse(t *testing.T) {
	cause := errors.New("no key")
	marked := tasks.WithCode(tasks.Temporary(cause), "key_missing")
	require.EqualError(t, marked, "no key")
	require.ErrorIs(t, marked, cause)
	assert.True(t, tasks.IsTemporary(marked))
	assert.Equal(t, "key_missing", tasks.CodeOf(marked))
	assert.Equal(t, "key_missing", tasks.CodeOf(tasks.Temporary(marked)))
	assert.NoError(t, tasks.WithCode(nil, "key_missing"))
}

func TestTheOutermostCodeCounts(t *testing.T) {
	inner := tasks.WithCode(errors.New("no key"), "inner")
	outer := tasks.WithCode(fmt.Errorf("role targets: %w", inner), "outer")
	assert.Equal(t, "inner", tasks.CodeOf(fmt.Errorf("role targets: %w", inner)))
	assert.Equal(t, "outer", tasks.CodeOf(outer))
	assert.Equal(t, "outer", tasks.CodeOf(errors.Join(outer, inner)))
	assert.Equal(t, "inner", tasks.CodeOf(tasks.WithCode(inner, "")), "an empty code is none")
	assert.Empty(t, tasks.CodeOf(errors.New("no key")))
	assert.Empty(t, tasks.CodeOf(nil))
}
