//! Snapshots in which the engine is corrupt, as one is that its script has broken.

/// The snapshot, but all of its memory is zero: whatever runs in it crashes.
pub(crate) fn wreck(snapshot: &[u8]) -> Vec<u8> {
    let len = u32::from_le_bytes(snapshot[8..12].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&snapshot[12..12 + len]).unwrap();
    header["changed"] = serde_json::json!([[0, header["size"], false]]);
    let header = serde_json::to_vec(&header).unwrap();
    let mut wreck = snapshot[..8].to_vec();
    wreck.extend((header.len() as u32).to_le_bytes());
    wreck.extend(header);
    wreck.resize(wreck.len().next_multiple_of(4096), 0);
    wreck.extend(&snapshot[(12 + len).next_multiple_of(4096)..]);
    wreck
}
