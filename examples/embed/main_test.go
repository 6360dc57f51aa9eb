package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheClientDownloadsAVerifiedTargetInTheEnd(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	assert.Equal(t, "SUCCESS map[snapshot:2 targets:2 timestamp:2] \nverified hello.txt: hello\n", out.String())
}
