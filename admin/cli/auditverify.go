package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func verifyAuditCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Checks that no entry of the audit log was removed or changed",
		Long: `
Checks that no entry of the audit log was removed or changed: that the numbers have
no hole, that each entry is what its hash says and names the one before, and that
the last one is the newest that the gateway knows of.

Whoever can write the store and knows its master secret can write a whole new log.
An earlier export in FILE shows that: it is checked too, and the gateway's log must
have the same entries, as far as it keeps them. Keep exports elsewhere, or at least
the line that begins with "Head:".

A NOTE names an entry that tells of something else: audit.altered of a change that
was not as this product writes it, and audit.gap of changes that were lost before
they were entered.

Exit codes: 0 the log is intact; 1 it is not, and the faults are named; 2 the
command was called wrongly, or the log could not be checked.
`,
		Example: `  $ caddy deployment audit verify
  $ caddy deployment audit verify audit.ndjson`,
	}
	wants(client, cmd, 1, argument{"FILE", checkNotEmpty, nil})
	cmd.ValidArgsFunction = nil // files
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		var file *auditFile
		found := new(faults)
		if len(args) > 0 {
			var err error
			if file, err = openAuditFile(args[0], found); err != nil {
				return err
			}
			defer file.Close()
		}
		return client.verify(cmd, file, found)
	})
	return cmd
}

// verify checks the log of the gateway, and beside it that of a file, unless that is nil.
func (c *client) verify(cmd *cobra.Command, file *auditFile, found *faults) error {
	export, err := c.export(cmd.Context(), "")
	if err != nil {
		return fmt.Errorf("the log could not be checked: %v", err) // %v: that is no fault of the log
	}
	defer export.Close()
	before := auditPlace{export.first.seq - 1, export.first.hash}
	if export.first.seq == 0 { // of an empty log
		before.seq = 0
	}
	chain := startAuditChain("the gateway's log", &before, found)
	if before.seq == 0 && before.hash != noHash {
		chain.fault("its first entry names one before")
	}
	for {
		raw, err := export.lines.next()
		if err != nil {
			return c.found.failed(err)
		}
		if raw == nil {
			break
		}
		line, err := parseAuditLine(raw)
		if err != nil {
			chain.wrong(err)
			continue
		}
		chain.add(line)
		if file != nil {
			if err := file.compare(line); err != nil {
				return err
			}
		}
	}
	chain.end(export.head)
	unlinked := error(nil)
	if file != nil {
		if unlinked, err = file.finish(before, export.head); err != nil {
			return err
		}
	}
	if err := writeVerified(cmd, chain, file, export.head, found); err != nil {
		return err
	}
	if found.all > 0 {
		return noError{errors.New("the audit log is not intact")}
	}
	return unlinked
}

// writeVerified says what was found.
func writeVerified(cmd *cobra.Command, chain *auditChain, file *auditFile, head auditPlace, found *faults) error {
	text := newTable()
	chain.describe(text)
	if file != nil {
		file.chain.describe(text)
	}
	for _, fault := range found.named {
		text.line("FAULT: " + fault)
	}
	if more := found.all - len(found.named); more > 0 {
		text.line(fmt.Sprintf("FAULT: and %d more", more))
	}
	for _, note := range found.notes {
		text.line("NOTE: " + note)
	}
	if more := found.allNotes - len(found.notes); more > 0 {
		text.line(fmt.Sprintf("NOTE: and %d more", more))
	}
	text.line(fmt.Sprintf("Head: %d %s", head.seq, head.hash))
	return text.writeTo(cmd.OutOrStdout())
}

// describe says how much of a log there is.
func (c *auditChain) describe(text *table) {
	if c.entries == 0 {
		text.line(c.name + ": no entries")
		return
	}
	text.line(fmt.Sprintf("%s: %s, the last one %d, from %s to %s", plain(c.name), count(int64(c.entries), "entry", "entries"),
		c.last.seq, showTime(c.from), showTime(c.to)))
}

// An auditFile is an earlier export in a file. It is checked while it is held against a log.
type auditFile struct {
	file    *os.File
	lines   auditLines
	chain   *auditChain
	current auditLine
	ended   bool

	compared bool // an entry with one of the gateway's log
}

func openAuditFile(path string, found *faults) (*auditFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f := &auditFile{file: file, lines: newAuditLines(file), chain: startAuditChain(path, nil, found)}
	if err := f.advance(); err != nil {
		f.Close()
		return nil, err
	}
	if f.ended && f.chain.entries == 0 {
		f.Close()
		return nil, fmt.Errorf("%s: there are no entries in it", plain(path))
	}
	return f, nil
}

func (f *auditFile) Close() { _ = f.file.Close() } // it was read

// advance reads the next line that is one.
func (f *auditFile) advance() error {
	for {
		raw, err := f.lines.next()
		if err != nil {
			return fmt.Errorf("%s: %w", plain(f.chain.name), err)
		}
		if raw == nil {
			f.ended = true
			return nil
		}
		line, err := parseAuditLine(raw)
		if err != nil {
			f.chain.wrong(err)
			continue
		}
		f.chain.add(line)
		f.current = line
		return nil
	}
}

// compare holds an entry of the gateway's log against that of the file.
func (f *auditFile) compare(line auditLine) error {
	for !f.ended && f.current.seq < line.seq {
		if err := f.advance(); err != nil {
			return err
		}
	}
	if f.ended || f.current.seq != line.seq || f.current.fault != "" || line.fault != "" {
		return nil
	}
	f.compared = true
	if f.current.hash != line.hash {
		f.chain.fault("entry %d is another one in the gateway's log", line.seq)
	}
	return nil
}

// finish reads the rest of the file and holds it against the ends of the gateway's log: before its first
// entry, and its newest. unlinked says that there is nothing to compare: the log begins too late.
func (f *auditFile) finish(before, head auditPlace) (unlinked, err error) {
	for !f.ended {
		if err := f.advance(); err != nil {
			return nil, err
		}
	}
	last := f.chain.last
	switch {
	case last.seq > head.seq:
		f.chain.fault("it goes on to entry %d, and the gateway's log ends with entry %d", last.seq, head.seq)
	case last.seq == before.seq && last.hash != "" && last.hash != before.hash:
		f.chain.fault("entry %d is another one than the first entry of the gateway's log names as the one before", last.seq)
	case last.seq < before.seq:
		return fmt.Errorf("the gateway keeps nothing older than entry %d, and %s ends with entry %d: whether they belong together could not be checked",
			before.seq+1, plain(f.chain.name), last.seq), nil
	case !f.compared && (last.seq != before.seq || last.hash == ""):
		return fmt.Errorf("the gateway's log has none of the entries of %s any more: whether they belong together could not be checked",
			plain(f.chain.name)), nil
	}
	return nil, nil
}
