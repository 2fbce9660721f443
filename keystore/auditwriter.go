package keystore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"time"
)

// This file writes the audit log. All nodes do, each what it finds not entered yet; the head of the log
// is replaced on the condition that nobody else has, so every change is entered once, whoever comes
// first.

// Bounds of the audit log. What anybody can cause, refusals, must not push out what matters.
const (
	// MaxAuditEntries is how many entries are kept at most, also when their time is not over: some
	// 400 MB.
	MaxAuditEntries = 500_000

	// MaxProvenRefusals and MaxUnprovenRefusals are how many refusals are entered in an hour by all nodes
	// together: to those who had proven who they are, and to others, who can be anybody. What is beyond
	// is counted, and the number entered after the hour.
	MaxProvenRefusals   = 150
	MaxUnprovenRefusals = 50

	// auditBatch bounds the changes, the refusals and the removals of one atomic step, each.
	auditBatch = 200
)

// A Refusal is refusals that are alike, for the audit log; the fields are those of [AuditEvent].
type Refusal struct {
	Time, Since           time.Time // of the last one, and of the first one
	Count                 uint64    // 1 or more
	Handler, Error        string
	Address               string
	Key, User, Deployment string
	Proven                bool // Key or User have proven to be that
}

// WriteAudit enters changes that are not in the audit log yet, and refusals. It says how many entries it
// has written, and which refusals are left when there is an error, the last ones of those it was given.
// When the store did not answer, some of those may have been entered all the same.
func (k *Keystore) WriteAudit(ctx context.Context, refusals []Refusal) (written int, left []Refusal, err error) {
	for {
		batch := refusals[:min(len(refusals), auditBatch)]
		wrote, more, err := k.writeAudit(ctx, batch)
		if err != nil {
			return written, refusals, err
		}
		written, refusals = written+wrote, refusals[len(batch):]
		if !more && len(refusals) == 0 {
			return written, nil, nil
		}
	}
}

func (k *Keystore) writeAudit(ctx context.Context, refusals []Refusal) (wrote int, more bool, err error) {
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return 0, false, err
	}
	defer cancel()
	err = retry(auditRecord, func() error {
		head, before, err := k.readAuditHead(ctx, v)
		lost := errors.Is(err, ErrAltered)
		if err != nil && !lost {
			return err
		}
		w := &auditWriter{vault: v, head: head, now: k.now().UTC().Truncate(time.Millisecond)}
		if lost {
			// The numbers of before are not known. By the clock these come after them, so nothing of the old
			// log is written over, whoever wants to look at it.
			w.head = newAuditHead(uint64(max(w.now.UnixMilli(), 1)))
			w.altered("the audit log lost its head, and begins anew")
		}
		changes, begins, err := k.notEntered(ctx, w.head)
		if err != nil {
			return err
		}
		if begins {
			w.altered("the change log begins anew")
			w.head.Change, w.head.ChangeHash = 0, nil
		}
		w.changes(changes)
		if len(refusals) > 0 || w.head.Unentered > 0 {
			now, err := k.store.Time(ctx) // one clock says which hour it is
			if err != nil {
				return err
			}
			w.refusals(now, refusals)
		}
		wrote, more = w.wrote, len(changes) >= auditBatch
		if w.err != nil || (!w.counted && w.wrote == 0) {
			return w.err
		}
		record, err := encodeRecord(v, auditRecord, w.head)
		if err != nil {
			return err
		}
		if before == nil {
			w.steps = append(w.steps, Step{Kind: PutRecord, Name: auditBegun, Value: v.sealRecord(auditBegun, nil)})
		}
		return k.store.Apply(ctx, Change{
			Conditions: []Condition{unchanged(auditRecord, before)},
			Steps:      append(w.steps, Step{Kind: PutRecord, Name: auditRecord, Value: record}),
		})
	})
	return wrote, more, err
}

// notEntered reads the changes that come after those that are entered. The last one that is entered is read
// again: where there is another one, or none that it could have come before, the change log begins anew,
// and so does the reading.
func (k *Keystore) notEntered(ctx context.Context, head auditHead) (changes []LogEntry, begins bool, err error) {
	if head.Change == 0 {
		changes, err = k.store.Log(ctx, 0, auditBatch)
		return changes, false, err
	}
	changes, err = k.store.Log(ctx, head.Change-1, auditBatch+1)
	switch {
	case err != nil:
		return nil, false, err
	case len(changes) > 0 && changes[0].Seq > head.Change: // it was trimmed
		return changes, false, nil
	case len(changes) > 0 && bytes.Equal(changeHash(changes[0]), head.ChangeHash):
		return changes[1:], false, nil
	}
	changes, err = k.store.Log(ctx, 0, auditBatch)
	return changes, true, err
}

func changeHash(change LogEntry) []byte {
	sum := sha256.Sum256(change.Event)
	return sum[:]
}

// An auditWriter assembles one atomic step.
type auditWriter struct {
	vault   *vault
	now     time.Time
	head    auditHead // after the step
	steps   []Step
	wrote   int
	counted bool  // the head has other numbers of refusals
	err     error // the first
}

// enter appends an entry.
func (w *auditWriter) enter(event AuditEvent) {
	event.Seq = w.head.Last + 1
	if event.Time.Sub(w.now).Abs() > ClockTolerance {
		event.Entered = w.now
	}
	line, hash, err := auditLine(w.head.Hash, event)
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	name := auditEntryRecord(event.Seq)
	w.steps = append(w.steps, Step{Kind: PutRecord, Name: name, Value: w.vault.sealRecord(name, line)})
	if ValidateDeploymentID(event.Deployment) == nil {
		w.steps = append(w.steps, Step{Kind: AddMember, Name: auditIndex(event.Deployment), Member: AuditPlace(event.Seq)})
	}
	w.head.Last, w.head.Hash = event.Seq, hash
	w.wrote++
}

// altered enters that something was not as this product wrote it.
func (w *auditWriter) altered(what string) {
	w.enter(AuditEvent{Time: w.now, Kind: AuditAltered, Outcome: OutcomeUnknown, Set: map[string]string{"what": what}})
}

// alteredChange enters that an entry of the change log was not.
func (w *auditWriter) alteredChange(seq uint64) {
	w.enter(AuditEvent{
		Time: w.now, Kind: AuditAltered, Outcome: OutcomeUnknown, Change: seq,
		Set: map[string]string{"what": "this entry of the change log"},
	})
}

// changes enters entries of the change log, and how many are missing between them.
func (w *auditWriter) changes(entries []LogEntry) {
	for _, entry := range entries {
		// Numbers rise, unless somebody else has written them.
		if entry.Seq <= w.head.Change {
			w.alteredChange(entry.Seq)
			continue
		}
		if missing := entry.Seq - w.head.Change - 1; missing > 0 {
			w.enter(AuditEvent{Time: w.now, Kind: AuditGap, Outcome: OutcomeUnknown, Count: missing})
		}
		w.head.Change, w.head.ChangeHash = entry.Seq, changeHash(entry)
		event, err := openEvent(w.vault, entry.Event)
		if err != nil {
			w.alteredChange(entry.Seq)
			continue
		}
		w.enter(AuditEvent{
			Time: event.Time, Kind: event.Kind, Outcome: OutcomeDone, By: event.By, Via: event.Via, Address: event.Address,
			Deployment: event.Deployment, Key: event.Key, User: event.User, Token: event.Token,
			Set: event.Set, Change: entry.Seq,
		})
	}
}

// refusals enters as many as there may be in this hour, and counts the others.
func (w *auditWriter) refusals(now time.Time, refusals []Refusal) {
	hour := now.Unix() / int64(time.Hour/time.Second)
	// An earlier hour is of another clock, such as that of a database that took over; unless it is so much
	// earlier that nothing would be entered for days.
	if hour > w.head.RefusalHour || hour < w.head.RefusalHour-24 {
		if w.head.Unentered > 0 {
			w.enter(AuditEvent{
				Time: w.now, Kind: RefusalsSummed, Outcome: OutcomeRefused,
				Count: w.head.Unentered, Since: w.head.Since,
			})
		}
		w.head.RefusalHour, w.head.Proven, w.head.Unproven = hour, 0, 0
		w.head.Unentered, w.head.Since = 0, time.Time{}
	}
	for _, refusal := range refusals {
		w.counted = true
		budget, most := &w.head.Unproven, MaxUnprovenRefusals
		if refusal.Proven {
			budget, most = &w.head.Proven, MaxProvenRefusals
		}
		if *budget >= most {
			if w.head.Unentered == 0 {
				w.head.Since = w.now
			}
			w.head.Unentered += max(refusal.Count, 1)
			continue
		}
		*budget++
		event := AuditEvent{
			Time: refusal.Time.UTC().Truncate(time.Millisecond), Kind: RequestRefused, Outcome: OutcomeRefused,
			Address: refusal.Address, Deployment: refusal.Deployment, Key: refusal.Key, User: refusal.User,
			Handler: refusal.Handler, Error: refusal.Error,
		}
		if refusal.Count > 1 {
			event.Count, event.Since = refusal.Count, refusal.Since.UTC().Truncate(time.Millisecond)
		}
		w.enter(event)
	}
}
