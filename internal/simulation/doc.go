// Package simulation runs histories: scenes of a repository's life, written as text. A history
// begins with a comment that states the rule it proves. Each line is a step, a verb with its words:
//
//	# A roll brings the roles above those that are asked for.
//	repo delegate=team:team/*:team/file offline=targets
//	roll team -> published team 2, snapshot 2, timestamp 2
//	expect target team/file -> team/file
//
// The outcome stands behind the arrow, or in indented lines below the step where it is long.
// Several histories of one file are separated by a line of three hyphens. A word with blanks is
// quoted as in Go. Names of keys are symbolic: targets#2 is the second key that the targets role
// has had. mallory#1 is a key that no root or delegation names of its own accord.
//
// A history is run once for each value of an each step. $name stands for the value in the steps
// below, also as a whole step, or several that are separated by semicolons. Where the runs end
// differently, each outcome is given with the values that lead to it, or with else.
//
//	each NAME a | b | c     the values; or one a line, indented, each after a label and a colon
//	repo OPTION…            builds the repository: plain, inconsistent, hashes, pretty, unknown, nested,
//	                        delegate=[PARENT>]NAME:PATHS[:TARGET], hashbins=N, succinct=N, bintarget=PATH,
//	                        threshold=ROLE:N,…, keys=ROLE:KIND,…, expires=ROLE:DURATION,…, period=DAYS,
//	                        listed=ROLE, offline=ROLE,…, share=ROLE:OTHER,… (ROLE has the keys of OTHER),
//	                        custody=ROLE:HELD/THRESHOLD,… (of its keys the operator holds some)
//	restart [@NAME] …       a process begins anew: offline=, with=KEY,… and without=KEY,… of the keys,
//	                        forgetful, targets=online or offline, validity=ROLE:DURATION,…, notready,
//	                        warn=DURATION, tasks=NAME that processes share, renew with early=SHARE and
//	                        jitter=SHARE and look=DURATION, memory=NAME that is durable and shared, and settings
//	settings [@NAME] …      the operator's settings of a process are these from now on:
//	                        believe=ROLE:FILE, believe=ROLE:SHA256 or believe=PREFIX:until=DURATION,
//	                        online=DECLARER>ROLE,…, uploads=ROLE,…, version=ROLE:N,…, hashbins,
//	                        bothlayouts, and validity=, targets= and notready as above
//	forget [@NAME]          the operator has a process forget the app
//	lay ROLE…               the operator lays a new key of a role ready, for the next root
//	pin N | stranger | garbage    the operator pins another root
//	roll [@NAME] ROLE…      a process rolls; app=NAME asks for another app
//	ask [@NAME] ROLE…       a process is asked to accept the same work
//	status [@NAME]          a process looks at what is published
//	rotate ROLE… …          root's holders sign the next root: new keys, or +N or +KEY and -KEY,
//	                        threshold=N, expires=DURATION
//	switch on | off …       the same, with or without consistent snapshots
//	upload ROLE VERSION …   a role's holders sign its next version and upload it; changes are below.
//	                        The version next is the first that is free
//	publish [ROLE…] …       another tool, which has all keys, publishes a release; changes are those of
//	                        the roles. It does so only over what verifies
//	thief FILE …            an attacker writes a file: from=FILE, from=SAVED:FILE, from=stranger:FILE or
//	                        from=sibling:FILE, with changes; of a root also with those of rotate
//	write FILE TEXT         an attacker, or a crash, leaves text
//	delete FILE…            files go
//	save NAME               remembers the store's state
//	putback NAME [FILE…]    puts the store, or files of it, back to a state
//	withhold FILE…          an attacker takes files away, and with return FILE… puts them back
//	fail WHAT | nothing     from now on: store-writes=N fail after N, store-write=TEXT fail where the name
//	                        has the text, large=FILE is too large, keys=ROLE fail, nokeys=ROLE are
//	                        missing, settings fail, validity=ROLE fails
//	advance DURATION [by=DURATION]   time passes; a new client looks each time
//	client NAME             a client refreshes, and stays as it is
//	clients                 all clients refresh, and a new one
//	recover                 the attacker is locked out, and honest parties do what is documented: then
//	                        rolls of all online roles succeed, and all clients go on
//	expect WHAT …           target PATH, listed ROLE…, hashes ROLE…, signers FILE, expires ROLE…,
//	                        content FILE, asked, renewal
//
// A FILE is a name below the app, or a role: its published file, or with +N behind the role that of
// the Nth version after it.
//
// Changes of a document are: by=KEY,… or by=none for its signatures, alias=KEY:KEY for a
// signature that stands under another key's ID too, version=N, expires=DURATION, target=PATH,
// evil=PATH (a target with other content), drop=PATH, delegate=NAME:PATHS[:KEY,…],
// rekey=NAME[:KEY,…], undelegate=NAME, threshold=NAME:N, list=ROLE:VERSION, unlist=ROLE,
// set=PLACE:JSON, unset=PLACE, and spoil=HOW of what is written. A place is the path below signed,
// separated by slashes.
//
// Outcomes show roles, versions, files, keys and the names of errors, no messages. Nothing that is
// random shows.
//
// The rules of trust are held by a judge that keeps its own record of who was entitled to say what
// and when: see NewJudged. It sees each message that an online key signs, what is listed, and what
// clients of all ages make of it. Live makes histories from seeds, full of attacks. Shrink makes
// those short that the judge complains of.
//
// Some rules hold in all histories and are not asked for. A judge complains where one does not
// hold. A process writes files with a version in the name by Create and all others by Replace, and
// never gives a versioned name two contents. A key signs only documents of its role's kind, and for
// roles that are then listed. A roll that is refused signs and writes nothing. Versions that
// clients see never shrink, unless the store was put back. After each roll the clients from after
// the set-up and from before the roll, named clients and a new one refresh: rejections show in the
// outcome, and at the end only where the last step is clients.
package simulation
