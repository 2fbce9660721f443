package keystore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// This file is what the audit log is and how it is read; auditwriter.go writes it.
//
// The change log is what nodes follow. It is bounded by a number of entries, and has changes alone.
// The audit log is made of it, by whichever node comes first: each change and each refusal that is
// worth telling is an entry, with the next number and the hash of the entry before. An entry cannot be
// made or altered without the key of the store, and none can be taken out from between others without
// a break in the chain, for which nobody needs a key to see it.

// Kinds of entries that are no changes.
const (
	RequestRefused EventKind = "request.refused" // a credential, or what was asked for with it
	RefusalsSummed EventKind = "refusals.summed" // Count refusals that are no entries of their own
	AuditGap       EventKind = "audit.gap"       // Count changes were gone from the change log before they were entered
	AuditAltered   EventKind = "audit.altered"   // a change, or a log, was not as this product wrote it; Set["what"] says which
)

// An AuditOutcome says how what was tried came out.
type AuditOutcome string

// The outcomes.
const (
	OutcomeDone    AuditOutcome = "done"
	OutcomeRefused AuditOutcome = "refused"
	OutcomeUnknown AuditOutcome = "unknown" // of AuditGap and AuditAltered
)

// An AuditEvent is what an entry of the audit log tells. It never holds a secret.
type AuditEvent struct {
	Seq     uint64       `json:"seq"` // from 1, without holes
	Time    time.Time    `json:"time"`
	Kind    EventKind    `json:"kind"`
	Outcome AuditOutcome `json:"outcome"`

	// As in [Event]. Of a refusal Key is the one that was proven, or whose ID was used.
	By         string            `json:"by,omitempty"`
	Via        Via               `json:"via,omitempty"`
	Address    string            `json:"address,omitempty"`
	Deployment string            `json:"deployment,omitempty"`
	Key        string            `json:"key,omitempty"`
	User       string            `json:"user,omitempty"`
	Token      string            `json:"token,omitempty"`
	Set        map[string]string `json:"set,omitempty"`

	Change uint64 `json:"change,omitempty"` // the number of the change in the change log

	// When it was entered, by the clock of the node that did, if that is more than [ClockTolerance] from
	// Time: the clocks differ, or no gateway ran, or somebody has put an old change into the change log.
	Entered time.Time `json:"entered,omitzero"`

	// Of refusals: which handler refused with which error code, how many alike (0 is 1), and when the
	// first of them was.
	Handler string    `json:"handler,omitempty"`
	Error   string    `json:"error,omitempty"`
	Count   uint64    `json:"count,omitempty"`
	Since   time.Time `json:"since,omitzero"`
}

// An AuditEntry is an entry with its JSON: {"hash","previous_hash","seq",...}, one line without its end.
// The hash is the SHA-256, in hexadecimal, of the line without its first member; previous_hash is the
// hash of the entry before, and noHash where there is none.
type AuditEntry struct {
	AuditEvent
	Line []byte
}

// noHash stands where there is no entry before.
const noHash = "0000000000000000000000000000000000000000000000000000000000000000"

// auditRecord is the head of the audit log. auditBegun is there as soon as there is a head, and stays: it
// tells a store without an audit log from one that has lost the head.
const (
	auditRecord = "audit"
	auditBegun  = "audit-begun"
)

func auditEntryRecord(seq uint64) string    { return fmt.Sprintf("audit/%016x", seq) }
func auditIndex(deploymentID string) string { return "audit/" + deploymentID }

// AuditPlace is where in a list, newest first, an entry stands: what a [Page] of the audit log begins
// after.
func AuditPlace(seq uint64) string { return fmt.Sprintf("%016x", ^seq) }

// IsAuditPlace reports whether a text is one of [AuditPlace].
func IsAuditPlace(text string) bool {
	_, ok := auditSeq(text)
	return ok
}

func auditSeq(place string) (uint64, bool) {
	inverted, err := strconv.ParseUint(place, 16, 64)
	return ^inverted, err == nil && AuditPlace(^inverted) == place
}

// auditHead is the JSON of auditRecord. Entries First to Last are there; First is Last+1 where none is.
type auditHead struct {
	First         uint64 `json:"first"`
	FirstPrevious string `json:"first_previous"` // the hash of the entry before First, which is removed
	Last          uint64 `json:"last"`
	Hash          string `json:"hash"` // of Last

	// The newest entry of the change log that is entered, and the hash of its event: a change log that
	// has another one there is another log.
	Change     uint64 `json:"change"`
	ChangeHash []byte `json:"change_hash,omitempty"`

	// Refusals that were entered in an hour, counted in hours since 1970, to those who had proven who
	// they are and to others; and those in it that were not entered.
	RefusalHour int64     `json:"refusal_hour,omitempty"`
	Proven      int       `json:"proven,omitempty"`
	Unproven    int       `json:"unproven,omitempty"`
	Unentered   uint64    `json:"unentered,omitempty"`
	Since       time.Time `json:"since,omitzero"` // of Unentered
}

// readAuditHead reads the head, or makes that of a store without an audit log. The record is returned
// also with [ErrAltered], which says too that it is gone.
func (k *Keystore) readAuditHead(ctx context.Context, v *vault) (auditHead, []byte, error) {
	records, err := k.store.Get(ctx, auditRecord, auditBegun)
	switch {
	case err != nil:
		return auditHead{}, nil, err
	case records[0] != nil:
		head, err := decodeRecord[auditHead](v, auditRecord, records[0])
		return head, records[0], err
	case records[1] != nil:
		return auditHead{}, nil, fmt.Errorf("record %q is gone: %w", auditRecord, ErrAltered)
	}
	return newAuditHead(1), nil, nil
}

// newAuditHead is that of an audit log that begins with a number.
func newAuditHead(first uint64) auditHead {
	return auditHead{First: first, Last: first - 1, FirstPrevious: noHash, Hash: noHash}
}

// An AuditRange says which entries the audit log has: First to Last, none where First is Last+1.
type AuditRange struct {
	First, Last   uint64
	FirstPrevious string // the hash of the entry before First
	Hash          string // of Last
}

// AuditRange reads it. Errors: [ErrAltered].
func (k *Keystore) AuditRange(ctx context.Context) (AuditRange, error) {
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return AuditRange{}, err
	}
	defer cancel()
	head, _, err := k.readAuditHead(ctx, v)
	return AuditRange{head.First, head.Last, head.FirstPrevious, head.Hash}, err
}

// Audit lists the audit log, newest first. Errors: [ErrAltered] for its head.
func (k *Keystore) Audit(ctx context.Context, page Page) (List[AuditEntry], error) {
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return List[AuditEntry]{}, err
	}
	defer cancel()
	head, _, err := k.readAuditHead(ctx, v)
	if err != nil {
		return List[AuditEntry]{}, err
	}
	from := head.Last
	if seq, ok := auditSeq(page.After); ok && seq <= from {
		from = seq - min(seq, 1)
	}
	return k.listAudit(ctx, v, page, func(limit int) ([]string, error) {
		var places []string
		for seq := from; seq >= head.First && seq > 0 && len(places) < limit; seq-- {
			places = append(places, AuditPlace(seq))
		}
		return places, nil
	}, func(*AuditEvent) bool { return true })
}

// DeploymentAudit lists what the audit log has of a Deployment, newest first, also when it was deleted.
// Errors: [ErrNotFound] when there is and was none of the ID, as far back as the log goes.
func (k *Keystore) DeploymentAudit(ctx context.Context, deploymentID string, page Page) (List[AuditEntry], error) {
	absent := notFound("Deployment", deploymentID)
	if ValidateDeploymentID(deploymentID) != nil {
		return List[AuditEntry]{}, absent
	}
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return List[AuditEntry]{}, err
	}
	defer cancel()
	head, _, err := k.readAuditHead(ctx, v)
	if err != nil {
		return List[AuditEntry]{}, err
	}
	if sizes, err := k.store.Sizes(ctx, auditIndex(deploymentID)); err != nil {
		return List[AuditEntry]{}, err
	} else if sizes[0] == 0 {
		_, _, err := getRecord[Deployment](ctx, k, v, deploymentRecord(deploymentID), absent)
		return List[AuditEntry]{}, err
	}
	return k.listAudit(ctx, v, page, func(limit int) ([]string, error) {
		return k.store.Members(ctx, auditIndex(deploymentID), page.After, limit)
	}, func(event *AuditEvent) bool {
		// An index has no authentication code, and may have entries of a log that was lost.
		return event.Deployment == deploymentID && event.Seq >= head.First && event.Seq <= head.Last
	})
}

// listAudit reads a page of entries by their places, and leaves out what does not belong to the list.
func (k *Keystore) listAudit(ctx context.Context, v *vault, page Page, find func(limit int) ([]string, error), belongs func(*AuditEvent) bool) (List[AuditEntry], error) {
	if page.Limit < 1 || page.Limit > MaxPage {
		return List[AuditEntry]{}, invalid("limit %d: use 1 to %d", page.Limit, MaxPage)
	}
	places, err := find(page.Limit + 1) // one more tells whether there is a next page
	if err != nil || len(places) == 0 {
		return List[AuditEntry]{}, err
	}
	var list List[AuditEntry]
	if len(places) > page.Limit {
		places = places[:page.Limit]
		list.Next = places[page.Limit-1]
	}
	var seqs []uint64
	for _, place := range places {
		if seq, ok := auditSeq(place); ok {
			seqs = append(seqs, seq)
		}
	}
	slots, err := k.readAudit(ctx, v, seqs)
	if err != nil {
		return List[AuditEntry]{}, err
	}
	for _, slot := range slots {
		switch {
		case slot.Fault == AuditFaultMissing:
			// Removed since its place was found, or by somebody else: an export tells which.
		case slot.Fault != "":
			list.Altered = append(list.Altered, auditEntryRecord(slot.Seq))
		case belongs(&slot.Entry.AuditEvent):
			list.Items = append(list.Items, slot.Entry)
		}
	}
	return list, nil
}

// An AuditSlot is a number of the audit log and what is there: an entry, or a fault.
type AuditSlot struct {
	Seq   uint64
	Entry AuditEntry
	Fault AuditFault
}

// An AuditFault says why there is no entry where one should be.
type AuditFault string

// The faults.
const (
	AuditFaultMissing AuditFault = "missing"
	AuditFaultAltered AuditFault = "altered" // it is not as this product wrote it
	AuditFaultExpired AuditFault = "expired" // its time was over, and it was removed since the range was read
)

// AuditSlots reads up to [MaxPage] entries of a range from a number on, oldest first.
func (k *Keystore) AuditSlots(ctx context.Context, from, last uint64) ([]AuditSlot, error) {
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	var seqs []uint64
	for seq := from; seq <= last && len(seqs) < MaxPage; seq++ {
		seqs = append(seqs, seq)
	}
	slots, err := k.readAudit(ctx, v, seqs)
	if err != nil {
		return nil, err
	}
	for i := range slots {
		if slots[i].Fault != AuditFaultMissing {
			continue
		}
		head, _, err := k.readAuditHead(ctx, v)
		if err != nil {
			return nil, err
		}
		for ; i < len(slots) && slots[i].Seq < head.First; i++ {
			slots[i].Fault = AuditFaultExpired
		}
		break // it was found out for all
	}
	return slots, nil
}

func (k *Keystore) readAudit(ctx context.Context, v *vault, seqs []uint64) ([]AuditSlot, error) {
	if len(seqs) == 0 {
		return nil, nil
	}
	names := make([]string, len(seqs))
	for i, seq := range seqs {
		names[i] = auditEntryRecord(seq)
	}
	records, err := k.store.Get(ctx, names...)
	if err != nil {
		return nil, err
	}
	slots := make([]AuditSlot, len(seqs))
	for i, record := range records {
		slots[i].Seq = seqs[i]
		if record == nil {
			slots[i].Fault = AuditFaultMissing
			continue
		}
		line, err := v.openRecord(names[i], record)
		// What does not begin as an entry does would pass for a fault of this package's own where it is exported.
		if err != nil || !bytes.HasPrefix(line, []byte(`{"hash":"`)) || json.Unmarshal(line, &slots[i].Entry.AuditEvent) != nil {
			slots[i].Fault = AuditFaultAltered
			continue
		}
		slots[i].Entry.Line = line
	}
	return slots, nil
}

// auditLine is an event as an entry after another, and its hash.
func auditLine(previous string, event AuditEvent) (line []byte, hash string, err error) {
	var rest bytes.Buffer
	encoder := json.NewEncoder(&rest)
	encoder.SetEscapeHTML(false) // people read it, and hash it
	err = encoder.Encode(struct {
		Previous string `json:"previous_hash"`
		AuditEvent
	}{previous, event})
	if err != nil {
		return nil, "", fmt.Errorf("audit entry %d: %w", event.Seq, err)
	}
	content := bytes.TrimSuffix(rest.Bytes(), []byte("\n"))
	sum := sha256.Sum256(content)
	hash = hex.EncodeToString(sum[:])
	return append([]byte(`{"hash":"`+hash+`",`), content[1:]...), hash, nil
}
