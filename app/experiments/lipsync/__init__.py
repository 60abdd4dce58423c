"""How well the lips go with the sound: SyncNet where its weights are, and the lip lag."""
