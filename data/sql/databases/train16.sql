CREATE TABLE chefs (home TEXT, sage TEXT, moons INTEGER, major TEXT);
INSERT INTO chefs VALUES
('Pibin', 'Kapis', 69, 'Tozon'),
('Tenov', 'Kapis', 384, 'Yegel'),
('Guson', 'Sedum', 502, 'Vitov'),
('Jedak', 'Kikak', 299, 'Wuger'),
('Gazski', 'Kikak', 935, 'Vitov'),
('Bific', 'Tokoff', 412, 'Lific'),
('Pirer', 'Kikak', 640, 'Fizoff'),
('Sozon', 'Sedum', 217, 'Lific'),
('Mepin', 'Kikak', 459, 'Tozon'),
('Butak', 'Sedum', 981, 'Fizoff');

CREATE TABLE words (major TEXT, sauce TEXT, yield INTEGER);
INSERT INTO words VALUES
('Tozon', 'Dutum', 273),
('Lific', 'Dutum', 168),
('Vitov', 'Tenum', 552),
('Fizoff', 'Tenum', 322),
('Wuger', 'Vagis', 671),
('Yegel', 'Tenum', 891);

CREATE TABLE members (writer TEXT, island TEXT, fans INTEGER, peer TEXT);
INSERT INTO members VALUES
('Jutak', 'Kigski', 302, 'Vumic'),
('Kenel', 'Zigen', 452, 'Gipin'),
('Jomoff', 'Digum', 929, 'Gipin'),
('Hazov', 'Kigski', 138, 'Wufin'),
('Yeper', 'Digum', 388, 'Pamer'),
('Zefski', 'Yaler', 36, 'Vumic'),
('Bazin', 'Digum', 69, 'Wufin'),
('Refak', 'Yaler', 584, 'Kapak'),
('Ziger', 'Digum', 667, 'Sepak'),
('Defen', 'Yaler', 273, 'Kapak');

CREATE TABLE huts (peer TEXT, runs INTEGER, youth TEXT);
INSERT INTO huts VALUES
('Gipin', 925, 'Wamic'),
('Wufin', 126, 'Wamic'),
('Kapak', 523, 'Vutoff'),
('Vumic', 545, 'Husoff'),
('Sepak', 308, 'Wamic'),
('Pamer', 243, 'Vutoff');

CREATE TABLE booths (trial TEXT, folk TEXT, strings INTEGER, desert TEXT);
INSERT INTO booths VALUES
('Kelen', 'Jovski', 760, 'Jizoff'),
('Tikoff', 'Lukak', 538, 'Jizoff'),
('Zosen', 'Mofic', 867, 'Kevski'),
('Voven', 'Rafski', 786, 'Nuver'),
('Gegov', 'Rafski', 638, 'Feden'),
('Kigoff', 'Jovski', 654, 'Feden'),
('Papis', 'Rafski', 427, 'Nuver'),
('Foric', 'Jovski', 225, 'Boker'),
('Budoff', 'Jovski', 93, 'Hitis'),
('Vefon', 'Lukak', 959, 'Hitis');

CREATE TABLE plazas (desert TEXT, grip TEXT, rallies INTEGER);
INSERT INTO plazas VALUES
('Jizoff', 'Ledum', 317),
('Hitis', 'Voren', 109),
('Feden', 'Suvski', 932),
('Nuver', 'Suvski', 354),
('Boker', 'Suvski', 585),
('Kevski', 'Voren', 570);

CREATE TABLE farmers (folk TEXT, roses INTEGER, post TEXT, cheese TEXT);
INSERT INTO farmers VALUES
('Kikoff', 366, 'Fifov', 'Jabov'),
('Sitis', 949, 'Wunen', 'Dibum'),
('Lavak', 362, 'Wunen', 'Lifin'),
('Niner', 95, 'Fifov', 'Jabov'),
('Vafum', 347, 'Wunen', 'Besov'),
('Segak', 70, 'Tisov', 'Dibum'),
('Nakak', 529, 'Mirski', 'Senov'),
('Dudski', 528, 'Fifov', 'Lifin'),
('Gakum', 678, 'Mirski', 'Legon'),
('Yebin', 264, 'Wunen', 'Senov');

CREATE TABLE ducks (cheese TEXT, plate TEXT, duty INTEGER);
INSERT INTO ducks VALUES
('Dibum', 'Puger', 141),
('Senov', 'Puger', 27),
('Lifin', 'Puger', 977),
('Jabov', 'Zobski', 366),
('Legon', 'Zobski', 513),
('Besov', 'Kikov', 651);

CREATE TABLE sofas (rental TEXT, motion TEXT, gaps INTEGER, insect TEXT);
INSERT INTO sofas VALUES
('Henen', 'Mepum', 898, 'Kivski'),
('Mubin', 'Yinic', 165, 'Gagum'),
('Nebak', 'Yinic', 730, 'Kimov'),
('Tusic', 'Mepum', 188, 'Yadski'),
('Gizoff', 'Seber', 740, 'Kimov'),
('Dupin', 'Mepum', 680, 'Rebski'),
('Movov', 'Yinic', 167, 'Rebski'),
('Fenoff', 'Seber', 545, 'Yadski'),
('Jabak', 'Jobak', 79, 'Zuzel'),
('Gizis', 'Mepum', 610, 'Zuzel');

CREATE TABLE goats (insect TEXT, season TEXT, calls INTEGER);
INSERT INTO goats VALUES
('Rebski', 'Futel', 251),
('Yadski', 'Denov', 501),
('Kimov', 'Denov', 89),
('Zuzel', 'Denov', 726),
('Kivski', 'Jelel', 583),
('Gagum', 'Futel', 368);

CREATE TABLE canoes (firm TEXT, crown TEXT, hops INTEGER, owner TEXT);
INSERT INTO canoes VALUES
('Wubov', 'Yader', 279, 'Worum'),
('Tupak', 'Demer', 87, 'Tazis'),
('Zuzak', 'Kepis', 353, 'Tazis'),
('Lirum', 'Bagov', 749, 'Worum'),
('Zilon', 'Yader', 247, 'Rafel'),
('Zuric', 'Kepis', 888, 'Rafel'),
('Beren', 'Kepis', 809, 'Bevak'),
('Dopen', 'Yader', 566, 'Felak'),
('Pufski', 'Yader', 737, 'Ruzum'),
('Wevak', 'Demer', 970, 'Bevak');

CREATE TABLE storms (owner TEXT, keeper TEXT, bets INTEGER);
INSERT INTO storms VALUES
('Tazis', 'Vipen', 441),
('Bevak', 'Vipen', 735),
('Worum', 'Tanoff', 355),
('Rafel', 'Zizis', 902),
('Ruzum', 'Vipen', 711),
('Felak', 'Zizis', 126);

CREATE TABLE waves (leaf TEXT, usher TEXT, swaps INTEGER, sauce TEXT);
INSERT INTO waves VALUES
('Vopis', 'Vinum', 809, 'Gokski'),
('Manic', 'Zamum', 178, 'Wozon'),
('Boken', 'Pevic', 717, 'Fudic'),
('Zasov', 'Vinum', 429, 'Miger'),
('Padum', 'Pevic', 224, 'Miger'),
('Zagin', 'Pevic', 274, 'Gokski'),
('Danov', 'Wazin', 723, 'Mopak'),
('Raber', 'Vinum', 162, 'Movic'),
('Mibin', 'Pevic', 444, 'Fudic'),
('Nusoff', 'Wazin', 391, 'Wozon');

CREATE TABLE motors (sauce TEXT, cargo INTEGER, judo TEXT);
INSERT INTO motors VALUES
('Wozon', 86, 'Joris'),
('Fudic', 146, 'Piken'),
('Miger', 334, 'Gemov'),
('Gokski', 541, 'Joris'),
('Movic', 319, 'Piken'),
('Mopak', 754, 'Piken');

CREATE TABLE uncles (rival TEXT, pattern TEXT, income INTEGER, father TEXT);
INSERT INTO uncles VALUES
('Ripen', 'Junic', 753, 'Mutski'),
('Veder', 'Wisum', 291, 'Pelel'),
('Koson', 'Wisum', 934, 'Rolak'),
('Fudak', 'Vuder', 864, 'Gupel'),
('Lefis', 'Nufen', 57, 'Nokski'),
('Wazic', 'Wisum', 323, 'Nokski'),
('Fogski', 'Wisum', 839, 'Gupel'),
('Segak', 'Junic', 604, 'Rolak'),
('Zaris', 'Junic', 765, 'Wodoff'),
('Papoff', 'Vuder', 812, 'Wodoff');

CREATE TABLE exams (father TEXT, suits INTEGER, trend TEXT);
INSERT INTO exams VALUES
('Rolak', 62, 'Farel'),
('Nokski', 656, 'Farel'),
('Wodoff', 256, 'Jamoff'),
('Gupel', 909, 'Wodov'),
('Pelel', 437, 'Jamoff'),
('Mutski', 318, 'Farel');

CREATE TABLE hammers (court TEXT, meal TEXT, duels INTEGER, party TEXT);
INSERT INTO hammers VALUES
('Betak', 'Yeben', 216, 'Lobin'),
('Deren', 'Fumel', 46, 'Wigoff'),
('Zirel', 'Yeben', 782, 'Hofov'),
('Sesoff', 'Yeben', 81, 'Vozak'),
('Piser', 'Yeben', 57, 'Jizov'),
('Hitis', 'Fever', 513, 'Vozak'),
('Zaper', 'Kizis', 654, 'Wigoff'),
('Ponov', 'Fumel', 676, 'Vorel'),
('Feler', 'Fever', 714, 'Jizov'),
('Tidon', 'Fever', 114, 'Lobin');

CREATE TABLE trucks (party TEXT, serves INTEGER, team TEXT);
INSERT INTO trucks VALUES
('Vozak', 409, 'Muric'),
('Lobin', 385, 'Muric'),
('Jizov', 203, 'Yozer'),
('Wigoff', 332, 'Muric'),
('Hofov', 21, 'Gepum'),
('Vorel', 837, 'Gepum');

CREATE TABLE threads (stage TEXT, faces INTEGER, teacher TEXT, choir TEXT);
INSERT INTO threads VALUES
('Mumak', 92, 'Nibel', 'Lapski'),
('Fobov', 819, 'Nadum', 'Jofen'),
('Wonov', 728, 'Nibel', 'Pogel'),
('Zonoff', 578, 'Nibel', 'Pogel'),
('Zamic', 318, 'Nadum', 'Nazum'),
('Kesel', 687, 'Nadum', 'Lapski'),
('Bogov', 133, 'Hevoff', 'Luger'),
('Peden', 410, 'Nibel', 'Luger'),
('Bedak', 29, 'Bunoff', 'Nazum'),
('Wobic', 259, 'Bunoff', 'Wamis');

CREATE TABLE phones (choir TEXT, cheese TEXT, smiles INTEGER);
INSERT INTO phones VALUES
('Lapski', 'Jutel', 317),
('Pogel', 'Jutel', 242),
('Luger', 'Dadum', 853),
('Nazum', 'Dadum', 696),
('Wamis', 'Jutel', 466),
('Jofen', 'Delum', 884);

CREATE TABLE cafes (motion TEXT, visitor TEXT, kicks INTEGER, home TEXT);
INSERT INTO cafes VALUES
('Firer', 'Putum', 282, 'Dafic'),
('Seger', 'Gurov', 517, 'Dafic'),
('Jegic', 'Zaber', 457, 'Faden'),
('Bidski', 'Gurov', 798, 'Zesak'),
('Butel', 'Zaber', 616, 'Zesak'),
('Datel', 'Zaber', 81, 'Kevon'),
('Nunic', 'Gurov', 694, 'Faden'),
('Jamis', 'Mukski', 293, 'Govon'),
('Tumin', 'Mukski', 217, 'Kevon'),
('Sotum', 'Gurov', 588, 'Hisak');

CREATE TABLE jets (home TEXT, figure TEXT, wires INTEGER);
INSERT INTO jets VALUES
('Dafic', 'Togski', 242),
('Zesak', 'Nakum', 768),
('Kevon', 'Togski', 541),
('Faden', 'Togski', 322),
('Hisak', 'Nakum', 513),
('Govon', 'Wazon', 594);

CREATE TABLE beers (amulet TEXT, frames INTEGER, terrain TEXT, keeper TEXT);
INSERT INTO beers VALUES
('Tugak', 265, 'Tarski', 'Dasoff'),
('Guvin', 854, 'Lefoff', 'Sizis'),
('Rirov', 39, 'Jekov', 'Kinic'),
('Yikak', 462, 'Tarski', 'Kinic'),
('Femum', 643, 'Tarski', 'Bever'),
('Niber', 57, 'Sufel', 'Wozak'),
('Kabski', 644, 'Tarski', 'Sizis'),
('Tison', 396, 'Sufel', 'Sesak'),
('Hofon', 753, 'Sufel', 'Wozak'),
('Gumis', 99, 'Jekov', 'Dasoff');

CREATE TABLE fences (keeper TEXT, aroma TEXT, knots INTEGER);
INSERT INTO fences VALUES
('Kinic', 'Dokoff', 889),
('Dasoff', 'Puvin', 445),
('Wozak', 'Baris', 274),
('Sizis', 'Baris', 51),
('Sesak', 'Dokoff', 246),
('Bever', 'Dokoff', 306);

CREATE TABLE ballads (medic TEXT, notes INTEGER, world TEXT, ship TEXT);
INSERT INTO ballads VALUES
('Vadak', 209, 'Bomen', 'Yikic'),
('Yorski', 496, 'Bomen', 'Zanov'),
('Tizoff', 651, 'Tumer', 'Zanov'),
('Wasoff', 842, 'Vikel', 'Rason'),
('Yikak', 502, 'Tumer', 'Wolel'),
('Jamis', 870, 'Tumer', 'Yikic'),
('Duder', 716, 'Bomen', 'Zozin'),
('Noben', 985, 'Vikel', 'Jubum'),
('Pelum', 990, 'Debel', 'Rason'),
('Wobski', 110, 'Bomen', 'Wolel');

CREATE TABLE lists (ship TEXT, dozens INTEGER, porter TEXT);
INSERT INTO lists VALUES
('Rason', 863, 'Rifum'),
('Zanov', 837, 'Bugoff'),
('Yikic', 172, 'Bugoff'),
('Wolel', 676, 'Fulen'),
('Jubum', 459, 'Bugoff'),
('Zozin', 435, 'Fulen');

CREATE TABLE brewers (truck TEXT, swaps INTEGER, timber TEXT, front TEXT);
INSERT INTO brewers VALUES
('Womski', 278, 'Tumon', 'Naber'),
('Nolski', 909, 'Veker', 'Yizon'),
('Guser', 401, 'Vaner', 'Ledic'),
('Vimak', 806, 'Veker', 'Hizen'),
('Nomon', 432, 'Vaner', 'Naber'),
('Jovel', 983, 'Veker', 'Hizen'),
('Tedic', 844, 'Veker', 'Rakin'),
('Pitin', 929, 'Gedum', 'Rakin'),
('Hapum', 669, 'Tumon', 'Faker'),
('Lalum', 247, 'Vaner', 'Faker');

CREATE TABLE owners (front TEXT, status TEXT, cells INTEGER);
INSERT INTO owners VALUES
('Faker', 'Vegak', 379),
('Rakin', 'Bimum', 482),
('Naber', 'Vegak', 468),
('Hizen', 'Vegak', 459),
('Ledic', 'Pegski', 597),
('Yizon', 'Pegski', 947);

CREATE TABLE barbers (tract TEXT, class TEXT, edges INTEGER, oracle TEXT);
INSERT INTO barbers VALUES
('Kider', 'Koton', 197, 'Rafski'),
('Gokis', 'Karski', 216, 'Zivel'),
('Zesin', 'Karski', 106, 'Kabin'),
('Kutum', 'Karski', 967, 'Kizel'),
('Jiren', 'Nosoff', 961, 'Kizel'),
('Gizen', 'Nosoff', 129, 'Kabin'),
('Suder', 'Nosoff', 284, 'Bupski'),
('Diner', 'Koton', 520, 'Zivel'),
('Tekin', 'Wover', 391, 'Liker'),
('Waloff', 'Nosoff', 131, 'Bupski');

CREATE TABLE rovers (oracle TEXT, folk TEXT, stake INTEGER);
INSERT INTO rovers VALUES
('Bupski', 'Sumoff', 297),
('Zivel', 'Dagski', 609),
('Kabin', 'Dagski', 32),
('Kizel', 'Sumoff', 807),
('Rafski', 'Mibum', 915),
('Liker', 'Dagski', 371);

CREATE TABLE lawns (origin TEXT, draws INTEGER, staff TEXT, giver TEXT);
INSERT INTO lawns VALUES
('Bapov', 422, 'Domer', 'Bemer'),
('Vefen', 57, 'Jopic', 'Darin'),
('Gogoff', 719, 'Jopic', 'Nonum'),
('Yiton', 421, 'Jopic', 'Nonum'),
('Naker', 771, 'Veren', 'Dasak'),
('Bodski', 982, 'Jopic', 'Bemer'),
('Hinin', 34, 'Domer', 'Dofski'),
('Water', 610, 'Domer', 'Dasak'),
('Yoren', 554, 'Yafum', 'Gufel'),
('Rorov', 961, 'Yafum', 'Darin');

CREATE TABLE dams (giver TEXT, runs INTEGER, sector TEXT);
INSERT INTO dams VALUES
('Nonum', 348, 'Muver'),
('Dasak', 262, 'Muver'),
('Bemer', 759, 'Joton'),
('Darin', 251, 'Ridski'),
('Dofski', 697, 'Ridski'),
('Gufel', 319, 'Muver');

CREATE TABLE papers (voter TEXT, flower TEXT, replies INTEGER, bench TEXT);
INSERT INTO papers VALUES
('Tokin', 'Kurski', 84, 'Kudin'),
('Rusoff', 'Fadoff', 980, 'Sumak'),
('Pazak', 'Fadoff', 914, 'Penic'),
('Humak', 'Domic', 822, 'Sumak'),
('Yodon', 'Fadoff', 690, 'Kudin'),
('Firon', 'Fadoff', 545, 'Bumum'),
('Badak', 'Tavin', 30, 'Tamum'),
('Parski', 'Tavin', 472, 'Jugski'),
('Puren', 'Domic', 24, 'Penic'),
('Yosoff', 'Tavin', 767, 'Bumum');

CREATE TABLE comics (bench TEXT, doctor TEXT, fans INTEGER);
INSERT INTO comics VALUES
('Penic', 'Hetski', 893),
('Sumak', 'Bumum', 65),
('Kudin', 'Humis', 891),
('Bumum', 'Hetski', 466),
('Jugski', 'Humis', 50),
('Tamum', 'Humis', 87);

CREATE TABLE offices (country TEXT, tile TEXT, stairs INTEGER, desert TEXT);
INSERT INTO offices VALUES
('Delum', 'Denski', 169, 'Vofic'),
('Derin', 'Losis', 709, 'Sasic'),
('Dibov', 'Denski', 378, 'Seper'),
('Vamel', 'Dubak', 546, 'Vofic'),
('Huzel', 'Denski', 470, 'Sasic'),
('Gebum', 'Denski', 758, 'Nadov'),
('Jelel', 'Dubak', 943, 'Mosis'),
('Kegel', 'Losis', 611, 'Nadov'),
('Zumoff', 'Jotel', 646, 'Valic'),
('Loton', 'Dubak', 985, 'Mosis');

CREATE TABLE bodies (desert TEXT, road TEXT, cups INTEGER);
INSERT INTO bodies VALUES
('Vofic', 'Fopov', 41),
('Nadov', 'Jufak', 872),
('Mosis', 'Yuloff', 115),
('Sasic', 'Fopov', 896),
('Valic', 'Jufak', 386),
('Seper', 'Fopov', 735);

CREATE TABLE sandals (visitor TEXT, lemons INTEGER, model TEXT, owner TEXT);
INSERT INTO sandals VALUES
('Mudon', 898, 'Purum', 'Kodoff'),
('Galic', 743, 'Purum', 'Mazak'),
('Lefic', 773, 'Napum', 'Pobin'),
('Digski', 689, 'Relov', 'Fugak'),
('Koton', 412, 'Runski', 'Jolis'),
('Firum', 945, 'Relov', 'Zezak'),
('Sefer', 30, 'Relov', 'Jolis'),
('Fenon', 581, 'Napum', 'Zezak'),
('Maver', 591, 'Purum', 'Mazak'),
('Gikin', 704, 'Relov', 'Pobin');

CREATE TABLE gems (owner TEXT, tycoon TEXT, boxes INTEGER);
INSERT INTO gems VALUES
('Mazak', 'Hovel', 641),
('Pobin', 'Hovel', 472),
('Jolis', 'Hovel', 185),
('Zezak', 'Jonski', 820),
('Kodoff', 'Wagum', 533),
('Fugak', 'Wagum', 872);

CREATE TABLE brokers (armor TEXT, victor TEXT, days INTEGER, dorm TEXT);
INSERT INTO brokers VALUES
('Hivski', 'Rapic', 381, 'Wukic'),
('Bigov', 'Zegin', 99, 'Bobel'),
('Wovin', 'Rapic', 131, 'Bobel'),
('Vumin', 'Zodin', 377, 'Tegon'),
('Teter', 'Rapic', 60, 'Zonov'),
('Rilel', 'Zodin', 636, 'Wuvic'),
('Vofoff', 'Zodin', 963, 'Yupel'),
('Naver', 'Lipin', 526, 'Zonov'),
('Yutoff', 'Zegin', 459, 'Yupel'),
('Meler', 'Zodin', 427, 'Tegon');

CREATE TABLE herbs (dorm TEXT, year INTEGER, fleet TEXT);
INSERT INTO herbs VALUES
('Tegon', 843, 'Solak'),
('Bobel', 23, 'Solak'),
('Yupel', 837, 'Bemer'),
('Zonov', 447, 'Bemer'),
('Wuvic', 967, 'Solak'),
('Wukic', 460, 'Fevic');
