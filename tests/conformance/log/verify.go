// Checks our checkpoints and proofs with Go's sumdb/note and sumdb/tlog, and that it refuses them when they are altered.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type samples struct {
	Key         string
	Checkpoints []string
	Inclusions  []struct {
		Checkpoint int
		Index      int64
		Hashes     []tlog.Hash
		Body       string
	}
	Consistencies []struct {
		Checkpoint int
		From       int64
		FromRoot   tlog.Hash
		Hashes     []tlog.Hash
	}
}

var passed, failed int

func check(right bool, what string, arguments ...interface{}) {
	if right {
		passed++
		return
	}
	failed++
	fmt.Printf("WRONG: "+what+"\n", arguments...)
}

// The tree that a note says, if one of our key says it.
func open(text string, verifiers note.Verifiers, origin string) (size int64, root tlog.Hash, err error) {
	opened, err := note.Open([]byte(text), verifiers)
	if err != nil {
		return
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != origin || lines[3] != "" {
		return 0, root, fmt.Errorf("not a checkpoint: %q", lines)
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return
	}
	bytes, err := base64.StdEncoding.DecodeString(lines[2])
	copy(root[:], bytes)
	return
}

// One alteration: a bit of a hash, a hash less, a hash more.
func altered(hashes []tlog.Hash, number int) []tlog.Hash {
	other := append([]tlog.Hash{}, hashes...)
	switch {
	case len(hashes) == 0 || number%3 == 0:
		return append(other, tlog.Hash{7})
	case number%3 == 1:
		return other[:len(other)-1]
	}
	other[number%len(other)][number%32] ^= 1 << (number % 8)
	return other
}

func main() {
	bytes, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var all samples
	if err := json.Unmarshal(bytes, &all); err != nil {
		panic(err)
	}
	verifier, err := note.NewVerifier(all.Key)
	if err != nil {
		panic(err)
	}
	verifiers, origin := note.VerifierList(verifier), verifier.Name()
	sizes, roots := make([]int64, len(all.Checkpoints)), make([]tlog.Hash, len(all.Checkpoints))
	for at, text := range all.Checkpoints {
		sizes[at], roots[at], err = open(text, verifiers, origin)
		check(err == nil, "checkpoint %d: %v", at, err)
		wrong := strings.Replace(text, "\n", "\n1", 1)
		_, _, err = open(wrong, verifiers, origin)
		check(err != nil, "checkpoint %d with another size", at)
		signature := strings.LastIndex(text, " ") + 10
		wrong = text[:signature] + string(text[signature]^1) + text[signature+1:]
		_, _, err = open(wrong, verifiers, origin)
		check(err != nil, "checkpoint %d with another signature", at)
	}
	for at, it := range all.Inclusions {
		size, root, leaf := sizes[it.Checkpoint], roots[it.Checkpoint], tlog.RecordHash([]byte(it.Body))
		check(tlog.CheckRecord(it.Hashes, size, root, it.Index, leaf) == nil, "inclusion %d", at)
		index, hashes := it.Index, it.Hashes
		switch at % 4 {
		case 0:
			leaf = tlog.RecordHash([]byte(it.Body + " "))
		case 1:
			root[at%32] ^= 1
		case 2:
			if index = (index + 1) % size; index == it.Index {
				leaf[0] ^= 1
			}
		default:
			hashes = altered(hashes, at)
		}
		check(tlog.CheckRecord(hashes, size, root, index, leaf) != nil, "inclusion %d, altered", at)
	}
	for at, it := range all.Consistencies {
		size, root, old := sizes[it.Checkpoint], roots[it.Checkpoint], it.FromRoot
		check(tlog.CheckTree(it.Hashes, size, root, it.From, old) == nil, "consistency %d", at)
		hashes := it.Hashes
		switch at % 3 {
		case 0:
			old[at%32] ^= 1
		case 1:
			root[at%32] ^= 1
		default:
			hashes = altered(hashes, at)
		}
		check(tlog.CheckTree(hashes, size, root, it.From, old) != nil, "consistency %d, altered", at)
	}
	fmt.Printf("%d checkpoints, %d inclusion and %d consistency proofs, and each altered: %d passed, %d failed\n",
		len(all.Checkpoints), len(all.Inclusions), len(all.Consistencies), passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
