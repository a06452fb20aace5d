/*---
description: neither side has a second realm
---*/
$262.createRealm();
