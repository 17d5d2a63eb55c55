//! The rules of snapshots (paper, section 7 and Figure 13): scripts, and what needs numbers.

unit_tests::scripts!("snapshots": sending receiving installing terms pinned failing);
