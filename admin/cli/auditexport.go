package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/admin"
	"github.com/deploymentkeys/gateway/keystore"
)

func exportAuditCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [DEPLOYMENT]",
		Short: "Prints the audit log, one JSON object a line, oldest first",
		Long: `
Prints the audit log, one JSON object a line, oldest first: all of it, or what is
about a Deployment. Only an export of all of it can be verified later.

When it ends before the newest entry, or an entry is missing or altered, that is an
error; what there is has been printed all the same.
` + exitHelp,
		Example: `  $ caddy deployment audit export > audit.ndjson
  $ caddy deployment audit export etl | jq -c 'select(.kind == "key.deleted")'`,
	}
	wants(client, cmd, 1, deploymentArgument)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		query := ""
		if len(args) > 0 {
			query = "?deployment=" + args[0]
		}
		return client.writeExport(cmd, query)
	})
	return cmd
}

// writeExport writes an export as it comes, and holds that it comes to its end.
func (c *client) writeExport(cmd *cobra.Command, query string) error {
	export, err := c.export(cmd.Context(), query)
	if err != nil {
		return err
	}
	defer export.Close()
	out := bufio.NewWriter(cmd.OutOrStdout())
	last, faults, err := copyExport(out, export.lines, isTerminal(cmd.OutOrStdout()))
	if err := out.Flush(); err != nil {
		return written(err)
	}
	whole := query == "" && export.first.seq <= export.head.seq
	switch {
	case err != nil:
		return c.found.failed(err)
	case last > export.head.seq, whole && last < export.head.seq:
		return c.found.failed(fmt.Errorf("its export ends with entry %d, and should end with entry %d", last, export.head.seq))
	case faults > 0:
		return noError{fmt.Errorf("%s missing or altered: caddy deployment audit verify names them", count(faults, "entry of the audit log is", "entries of the audit log are"))}
	}
	return nil
}

// copyExport writes the lines of an export, and returns the number of the last entry and how many lines
// are no entries but faults. Hashes are of lines as they came; only who looks at them has them made plain.
func copyExport(out *bufio.Writer, lines auditLines, shown bool) (last, faults int64, err error) {
	for {
		raw, err := lines.next()
		if err != nil || raw == nil {
			return last, faults, err
		}
		written := raw
		if shown {
			written = plainJSON(raw)
		}
		_, _ = out.Write(written) // an error stays until the end
		_ = out.WriteByte('\n')
		line, err := parseAuditLine(raw)
		switch {
		case err != nil:
			return last, faults, err
		case line.seq <= last:
			return last, faults, fmt.Errorf("its export has entry %d after entry %d", line.seq, last)
		case line.fault != "" && line.fault != keystore.AuditFaultExpired:
			faults++
		}
		last = line.seq
	}
}

// auditPath is where an export is had from.
const auditPath = "/audit/export"

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
