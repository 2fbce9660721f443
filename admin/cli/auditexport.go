package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/deploymentkeys/gateway/admin"
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

// An auditExport is an export that a gateway sends.
type auditExport struct {
	first auditPlace // the oldest entry that is kept, and the hash of the one before
	head  auditPlace // the newest entry
	lines auditLines
	body  io.Closer
	end   context.CancelCauseFunc
}

func (e *auditExport) Close() {
	_ = e.body.Close() // it was read
	e.end(nil)
}

// export asks for an export. It may be long, and may not be silent for long.
func (c *client) export(ctx context.Context, query string) (*auditExport, error) {
	ctx, end := context.WithCancelCause(ctx)
	silence := time.AfterFunc(c.timeout, func() { end(fmt.Errorf("it is silent for %s", c.timeout)) })
	response, _, err := c.send(ctx, http.MethodGet, auditPath+query, nil)
	silence.Stop()
	if err != nil {
		end(nil)
		return nil, err
	}
	e := &auditExport{body: response.Body, end: end}
	if media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); media != "application/x-ndjson" {
		err = errNoExport
	}
	if err == nil {
		e.first, err = readPlace(response.Header, admin.HeaderAuditFirst)
	}
	if err == nil {
		e.head, err = readPlace(response.Header, admin.HeaderAuditHead)
	}
	if err != nil {
		e.Close()
		return nil, c.found.failed(err)
	}
	e.lines = newAuditLines(&watchedReader{ctx, response.Body, silence, c.timeout})
	return e, nil
}

// A watchedReader stops a timer whenever it reads something; how long whoever uses that takes is no
// matter.
type watchedReader struct {
	ctx     context.Context
	r       io.Reader
	silence *time.Timer
	most    time.Duration
}

func (w *watchedReader) Read(p []byte) (int, error) {
	w.silence.Reset(w.most)
	n, err := w.r.Read(p)
	w.silence.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = because(w.ctx, err)
	}
	return n, err
}
