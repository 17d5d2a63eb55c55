//! Clients against a node that is none: it answers as the test wants.
