package keystore

import (
	"context"
	"time"
)

// A Store keeps records, indexes and the change log. It is the whole of what a database has to
// do for this product; what the names and bytes mean is [Keystore]'s business.
//
// A record is bytes under a name. An index is a named set of strings, kept in byte order, whose
// size is known without counting. Names and members are printable ASCII of at most 1,024 bytes,
// made by Keystore. The change log is a list of entries, numbered from 1 without gaps.
//
// All methods are safe for concurrent use and honour the context's deadline. An error that
// comes from the database, its network or the deadline wraps [ErrUnavailable].
type Store interface {
	// Get reads records by name, all at one moment. The result has one element for each name,
	// nil where there is no such record.
	Get(ctx context.Context, names ...string) ([][]byte, error)

	// Members reads up to limit members of an index that come after the string after ("" is the
	// beginning), in byte order. Its cost depends on limit, not on the size of the index or of
	// the store.
	Members(ctx context.Context, index, after string, limit int) ([]string, error)

	// Sizes counts the members of each index, at no cost for large ones.
	Sizes(ctx context.Context, indexes ...string) ([]int64, error)

	// Apply makes a change: every condition holds, and all steps are done and the event is
	// appended to the log; or a condition fails, nothing is done, and the error is a
	// [*ConditionError]. Nobody ever sees a part of it, also after a crash. When the error is
	// ErrUnavailable, the change may or may not have been made.
	Apply(ctx context.Context, change Change) error

	// Log reads up to limit entries of the change log with a number greater than after, oldest
	// first.
	Log(ctx context.Context, after uint64, limit int) ([]LogEntry, error)

	// Time is what the store's clock says, in UTC. It is one clock for all nodes of the store: what
	// goes by days, such as the rotation of signing keys, must not depend on the nodes' own. It is
	// a clock as others are: it may be set back, and a database that took over has another one.
	Time(ctx context.Context) (time.Time, error)

	ChangeLog

	// Close ends the store. It waits for calls that are under way, each of which has a deadline. The error
	// wraps ErrUnavailable when one does not end all the same.
	Close() error
}

// A ChangeLog is the part of a [Store] that a node follows to hear of changes.
type ChangeLog interface {
	// Head is the position of the newest entry of the change log.
	Head(ctx context.Context) (Position, error)

	// Next reads up to [MaxNext] entries that come right after a position, oldest first, and waits
	// for up to wait when there are none yet. It returns the position of the last one, or after.
	//
	// No entries and no error say that there was none at some moment since the call began; that may
	// come before wait is over. The error wraps [ErrLogGap] when entries after the position are gone
	// or never were: the log was trimmed, or a database that took over had not got the last changes.
	// Whoever follows the log then knows nothing any more and begins again at Head.
	Next(ctx context.Context, after Position, wait time.Duration) ([]LogEntry, Position, error)
}

// A Change is what [Store.Apply] does in one atomic step: conditions first, then steps in their
// order, then the log entry.
type Change struct {
	Conditions []Condition
	Steps      []Step

	// Event is appended to the change log with the next number and this text. An empty one
	// appends nothing: for what is not a change anyone has to hear of.
	Event []byte
}

// A ConditionKind says what a [Condition] demands.
type ConditionKind uint8

const (
	RecordAbsent ConditionKind = iota + 1 // Name is no record
	RecordEquals                          // record Name is exactly Value
	RecordExists                          // record Name is there
	IsMember                              // Member is in index Name
	SizeBelow                             // index Name has fewer than Limit members
)

// A Condition must hold for a [Change] to be made.
type Condition struct {
	Kind   ConditionKind
	Name   string // of a record, or of an index
	Value  []byte // RecordEquals
	Member string // IsMember
	Limit  int64  // SizeBelow
}

// A StepKind says what a [Step] does.
type StepKind uint8

const (
	PutRecord      StepKind = iota + 1 // set record Name to Value
	DeleteRecord                       // remove record Name, if it is there
	AddMember                          // put Member into index Name, if it is not there
	RemoveMember                       // take Member out of index Name, if it is there
	DropIndex                          // remove index Name and, for each of its members, the record named Prefix + member
	RemoveFromEach                     // for each member of index Name, take Member out of the index named Prefix + member
)

// A Step is one part of a [Change].
type Step struct {
	Kind   StepKind
	Name   string
	Value  []byte // PutRecord
	Member string // AddMember, RemoveMember, RemoveFromEach
	Prefix string // DropIndex, RemoveFromEach
}

// A LogEntry is one change as the log keeps it.
type LogEntry struct {
	Seq   uint64 // 1 for the first change of the store, then one more for each
	Event []byte
}

// A Position is a place in the change log: after an entry.
type Position struct {
	Seq uint64 // the number of the entry; 0 is the beginning
	ID  string // what the store calls the entry, so that another of the same number is told apart
}

// A ConditionError says which condition of a [Change] did not hold: the first of them.
type ConditionError struct {
	Index int // in Change.Conditions
}

func (e *ConditionError) Error() string { return "condition of the change does not hold" }

// MaxLogEntries is how many entries of the change log a store keeps at least; older ones may be
// removed. 100,000 entries are some 30 MB.
const MaxLogEntries = 100_000

// MaxNext is the largest number of entries that [Store.Next] returns.
const MaxNext = 1_000

// Bounds on a single call of a store. A reader can be told to come back, so it does not wait
// long; whoever makes a change wants to know how it ended.
const (
	ReadTimeout   = 500 * time.Millisecond
	ChangeTimeout = 5 * time.Second
)

// DefaultTimeout bounds a call of a store whose context has no deadline.
const DefaultTimeout = ReadTimeout
