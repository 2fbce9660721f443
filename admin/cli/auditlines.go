package cli

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// An auditPlace is an entry of the audit log, or a place beside it: a number, and a hash in hex.
type auditPlace struct {
	seq  int64
	hash string
}

// noHash stands in the place of the hash of the entry before the very first.
const noHash = "0000000000000000000000000000000000000000000000000000000000000000"

func isHash(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == sha256.Size && bytes.Equal([]byte(text), bytes.ToLower([]byte(text)))
}

// An auditLine is a line of an export: an entry, or a fault in the place of one.
type auditLine struct {
	seq   int64
	time  time.Time
	kind  keystore.EventKind
	fault keystore.AuditFault // "" for an entry

	hash     string // as the line says
	previous string
	computed string // of what the line is
}

// parseAuditLine reads a line, without its end. It believes nothing that it says.
func parseAuditLine(raw []byte) (auditLine, error) {
	var said struct {
		Seq      int64               `json:"seq"`
		Time     time.Time           `json:"time"`
		Kind     keystore.EventKind  `json:"kind"`
		Fault    keystore.AuditFault `json:"fault"`
		Hash     string              `json:"hash"`
		Previous string              `json:"previous_hash"`
	}
	if err := json.Unmarshal(raw, &said); err != nil || said.Seq < 1 {
		return auditLine{}, errors.New("there is a line that is no entry of an audit log")
	}
	line := auditLine{seq: said.Seq, time: said.Time, kind: said.Kind, fault: said.Fault, hash: said.Hash, previous: said.Previous}
	if line.fault != "" {
		return line, nil
	}
	// The hash is the first member, and of the line without it.
	const before, after = `{"hash":"`, `",`
	rest, ok := bytes.CutPrefix(raw, []byte(before+line.hash+after))
	if !ok || !isHash(line.hash) || !isHash(line.previous) {
		return auditLine{}, fmt.Errorf("entry %d does not have the form of an entry", line.seq)
	}
	sum := sha256.New()
	sum.Write([]byte("{"))
	sum.Write(rest)
	line.computed = hex.EncodeToString(sum.Sum(nil))
	return line, nil
}

// maxAuditLine is the longest line of an export, in bytes.
const maxAuditLine = 256 << 10

// auditLines reads the lines of an export.
type auditLines struct{ r *bufio.Reader }

func newAuditLines(r io.Reader) auditLines { return auditLines{bufio.NewReaderSize(r, maxAuditLine)} }

// next is the next line, without its end, and until it is called again; nil at the end of the export.
func (l auditLines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, nil
	case errors.Is(err, io.EOF):
		return nil, errors.New("the export ends in the middle of a line")
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("the export has a line of more than %d bytes", maxAuditLine)
	case err != nil:
		return nil, fmt.Errorf("the export breaks off: %w", err)
	}
	end := len(line) - 1
	return line[:end:end], nil
}

var errNoExport = errors.New("its answer is no export of an audit log")

// readPlace reads a header of an export: the number of an entry, and a hash.
func readPlace(header http.Header, name string) (auditPlace, error) {
	seq, hash, _ := strings.Cut(header.Get(name), " ")
	number, err := strconv.ParseInt(seq, 10, 64)
	if err != nil || number < 0 || !isHash(hash) {
		return auditPlace{}, fmt.Errorf("%w: the header %s has no number and hash", errNoExport, name)
	}
	return auditPlace{number, hash}, nil
}
