CREATE TABLE cameras (tunnel TEXT, branch TEXT, seasons INTEGER, phrase TEXT);
INSERT INTO cameras VALUES
('Supov', 'Gaker', 103, 'Tokis'),
('Ninak', 'Sobon', 76, 'Tokis'),
('Dugov', 'Zovin', 349, 'Yezin'),
('Zovon', 'Zovin', 778, 'Kafoff'),
('Duvoff', 'Sobon', 995, 'Yezin'),
('Buger', 'Zovin', 245, 'Kafoff'),
('Faris', 'Gaker', 843, 'Zasum'),
('Zalen', 'Zovin', 544, 'Mupoff'),
('Yazis', 'Heker', 709, 'Puvak'),
('Bobel', 'Sobon', 264, 'Puvak');

CREATE TABLE zones (phrase TEXT, yield INTEGER, class TEXT);
INSERT INTO zones VALUES
('Kafoff', 520, 'Nadum'),
('Tokis', 985, 'Fonen'),
('Puvak', 87, 'Merin'),
('Yezin', 888, 'Nadum'),
('Mupoff', 588, 'Nadum'),
('Zasum', 435, 'Merin');

CREATE TABLE chefs (thane TEXT, stays INTEGER, troop TEXT, fish TEXT);
INSERT INTO chefs VALUES
('Dimoff', 966, 'Fevon', 'Sunen'),
('Zesis', 374, 'Fezer', 'Sezis'),
('Gisak', 313, 'Fevon', 'Sunen'),
('Lotski', 838, 'Fezer', 'Kufak'),
('Fomel', 904, 'Fezer', 'Sezis'),
('Logov', 616, 'Hefel', 'Makin'),
('Tumak', 243, 'Fevon', 'Geson'),
('Kavski', 378, 'Nifov', 'Yedic'),
('Fiker', 388, 'Fezer', 'Kufak'),
('Mamen', 590, 'Nifov', 'Makin');

CREATE TABLE jokers (fish TEXT, fee INTEGER, player TEXT);
INSERT INTO jokers VALUES
('Sezis', 678, 'Gefin'),
('Makin', 267, 'Gefin'),
('Kufak', 289, 'Hebov'),
('Sunen', 654, 'Gefin'),
('Geson', 416, 'Japov'),
('Yedic', 44, 'Japov');

CREATE TABLE roles (photo TEXT, apples INTEGER, waiter TEXT, prof TEXT);
INSERT INTO roles VALUES
('Wuzov', 620, 'Hokin', 'Nolin'),
('Meroff', 603, 'Hokin', 'Nolin'),
('Vemon', 80, 'Hokin', 'Zilis'),
('Yezel', 530, 'Hokin', 'Zulov'),
('Ledic', 565, 'Bafov', 'Pemon'),
('Fimak', 819, 'Bafov', 'Zulov'),
('Runon', 676, 'Japski', 'Zilis'),
('Bagum', 409, 'Bafov', 'Pemon'),
('Kurum', 140, 'Lamum', 'Wugic'),
('Vitski', 30, 'Japski', 'Rison');

CREATE TABLE bees (prof TEXT, caterer TEXT, price INTEGER);
INSERT INTO bees VALUES
('Nolin', 'Tibum', 140),
('Zilis', 'Tibum', 796),
('Pemon', 'Hamak', 891),
('Zulov', 'Wikski', 999),
('Rison', 'Wikski', 432),
('Wugic', 'Tibum', 552);

CREATE TABLE plazas (idol TEXT, marks INTEGER, fabric TEXT, senator TEXT);
INSERT INTO plazas VALUES
('Konoff', 647, 'Dagon', 'Lalen'),
('Fizis', 671, 'Tipski', 'Heker'),
('Lurum', 552, 'Borski', 'Heker'),
('Fivis', 60, 'Borski', 'Nedin'),
('Regic', 654, 'Tipski', 'Sisoff'),
('Pific', 137, 'Tipski', 'Sokon'),
('Doler', 538, 'Dagon', 'Tivski'),
('Dumov', 475, 'Dagon', 'Sokon'),
('Segov', 150, 'Gasis', 'Lalen'),
('Hakum', 161, 'Tipski', 'Sisoff');

CREATE TABLE routes (senator TEXT, setter TEXT, dogs INTEGER);
INSERT INTO routes VALUES
('Lalen', 'Bolic', 971),
('Sokon', 'Safon', 322),
('Heker', 'Bolic', 885),
('Sisoff', 'Safon', 753),
('Tivski', 'Bolic', 609),
('Nedin', 'Tozen', 857);

CREATE TABLE letters (basin TEXT, pier TEXT, stings INTEGER, insect TEXT);
INSERT INTO letters VALUES
('Modov', 'Banum', 373, 'Mufic'),
('Kinon', 'Gopis', 767, 'Bitis'),
('Kumel', 'Hafum', 347, 'Fidic'),
('Mevin', 'Banum', 224, 'Morer'),
('Hefov', 'Gopis', 795, 'Morer'),
('Dumak', 'Hafum', 676, 'Fidic'),
('Gidic', 'Hafum', 713, 'Yadin'),
('Tazon', 'Gopis', 885, 'Bitis'),
('Sukov', 'Jepic', 962, 'Yofer'),
('Tozon', 'Hafum', 161, 'Yofer');

CREATE TABLE saunas (insect TEXT, machine TEXT, odds INTEGER);
INSERT INTO saunas VALUES
('Morer', 'Wepoff', 168),
('Bitis', 'Konak', 625),
('Yofer', 'Konak', 451),
('Fidic', 'Gipak', 76),
('Yadin', 'Gipak', 215),
('Mufic', 'Konak', 401);

CREATE TABLE owls (patron TEXT, salon TEXT, size INTEGER, flower TEXT);
INSERT INTO owls VALUES
('Lipov', 'Vuric', 870, 'Puvin'),
('Nolum', 'Vuric', 758, 'Pilak'),
('Vuron', 'Puder', 869, 'Pilak'),
('Hedel', 'Gopon', 958, 'Pidov'),
('Beber', 'Puder', 259, 'Nikon'),
('Gidov', 'Puder', 199, 'Nikon'),
('Gatin', 'Tinon', 267, 'Didski'),
('Zurak', 'Tinon', 609, 'Lisic'),
('Wedoff', 'Vuric', 875, 'Puvin'),
('Faton', 'Vuric', 969, 'Didski');

CREATE TABLE jars (flower TEXT, girth INTEGER, mentor TEXT);
INSERT INTO jars VALUES
('Puvin', 675, 'Wakak'),
('Didski', 234, 'Wakak'),
('Nikon', 229, 'Devov'),
('Pilak', 599, 'Womum'),
('Pidov', 818, 'Devov'),
('Lisic', 517, 'Wakak');

CREATE TABLE stages (picker TEXT, chapter TEXT, scenes INTEGER, cheese TEXT);
INSERT INTO stages VALUES
('Fuvski', 'Zasin', 716, 'Musen'),
('Dozov', 'Javski', 445, 'Musen'),
('Jubum', 'Javski', 308, 'Givov'),
('Fivak', 'Mobov', 953, 'Witis'),
('Nuver', 'Zasin', 943, 'Naber'),
('Wavski', 'Zasin', 962, 'Reron'),
('Godak', 'Mobov', 465, 'Givov'),
('Soris', 'Mobov', 95, 'Reron'),
('Revski', 'Zasin', 194, 'Kitic'),
('Sipen', 'Raker', 145, 'Kitic');

CREATE TABLE songs (cheese TEXT, racer TEXT, seeds INTEGER);
INSERT INTO songs VALUES
('Givov', 'Fobum', 226),
('Kitic', 'Fobum', 656),
('Musen', 'Tofak', 633),
('Reron', 'Tofak', 21),
('Naber', 'Zorer', 915),
('Witis', 'Fobum', 863);

CREATE TABLE waiters (photo TEXT, raises INTEGER, cause TEXT, style TEXT);
INSERT INTO waiters VALUES
('Tunis', 387, 'Nunin', 'Hufic'),
('Pofis', 173, 'Jitoff', 'Befel'),
('Demic', 37, 'Nunin', 'Nunin'),
('Zizak', 720, 'Kepis', 'Nunin'),
('Yivon', 21, 'Kepis', 'Widel'),
('Ziden', 204, 'Kepis', 'Tibski'),
('Gumic', 138, 'Nunin', 'Yoboff'),
('Weper', 152, 'Kosoff', 'Widel'),
('Lagen', 717, 'Kepis', 'Yoboff'),
('Lener', 999, 'Jitoff', 'Befel');

CREATE TABLE gems (style TEXT, story TEXT, pages INTEGER);
INSERT INTO gems VALUES
('Widel', 'Lupoff', 76),
('Nunin', 'Lupoff', 641),
('Yoboff', 'Lupoff', 537),
('Befel', 'Dimum', 13),
('Tibski', 'Zalon', 765),
('Hufic', 'Dimum', 227);

CREATE TABLE toys (title TEXT, knocks INTEGER, rope TEXT, ally TEXT);
INSERT INTO toys VALUES
('Lofski', 58, 'Bapak', 'Tulen'),
('Waben', 893, 'Genski', 'Tulen'),
('Farel', 323, 'Hagon', 'Nodis'),
('Suson', 273, 'Reloff', 'Lerel'),
('Gonski', 401, 'Hagon', 'Mutel'),
('Hevak', 331, 'Reloff', 'Lerel'),
('Karis', 641, 'Reloff', 'Neric'),
('Bidic', 149, 'Reloff', 'Neric'),
('Hubic', 767, 'Hagon', 'Mutel'),
('Kifis', 704, 'Bapak', 'Zetov');

CREATE TABLE sandals (ally TEXT, brother TEXT, pipes INTEGER);
INSERT INTO sandals VALUES
('Lerel', 'Jerak', 256),
('Tulen', 'Namel', 618),
('Neric', 'Namel', 386),
('Mutel', 'Namel', 43),
('Nodis', 'Guzel', 552),
('Zetov', 'Jerak', 517);

CREATE TABLE gorges (feature TEXT, inputs INTEGER, hero TEXT, lake TEXT);
INSERT INTO gorges VALUES
('Fapel', 10, 'Bimski', 'Model'),
('Gakak', 819, 'Morski', 'Lafoff'),
('Hivski', 909, 'Resel', 'Zorer'),
('Jofon', 281, 'Bimski', 'Sopin'),
('Witic', 678, 'Bimski', 'Lafoff'),
('Ganic', 960, 'Resel', 'Lepin'),
('Denak', 451, 'Pefen', 'Sapic'),
('Lizum', 583, 'Pefen', 'Model'),
('Hafum', 151, 'Pefen', 'Sapic'),
('Yogoff', 639, 'Pefen', 'Sopin');

CREATE TABLE shovels (lake TEXT, member TEXT, icons INTEGER);
INSERT INTO shovels VALUES
('Model', 'Vatov', 730),
('Sopin', 'Buver', 95),
('Lafoff', 'Semov', 894),
('Sapic', 'Semov', 101),
('Lepin', 'Buver', 407),
('Zorer', 'Buver', 711);

CREATE TABLE deals (organ TEXT, cloth TEXT, extras INTEGER, head TEXT);
INSERT INTO deals VALUES
('Menen', 'Detum', 317, 'Wazoff'),
('Ridis', 'Hinski', 623, 'Podak'),
('Bapoff', 'Zozis', 545, 'Jefic'),
('Kumum', 'Detum', 316, 'Hivski'),
('Huvis', 'Detum', 72, 'Jinov'),
('Yokoff', 'Rimis', 914, 'Jinov'),
('Fizov', 'Rimis', 583, 'Podak'),
('Zazer', 'Rimis', 332, 'Hozski'),
('Doton', 'Hinski', 760, 'Hozski'),
('Betov', 'Rimis', 918, 'Jefic');

CREATE TABLE pirates (head TEXT, major TEXT, risks INTEGER);
INSERT INTO pirates VALUES
('Jinov', 'Moron', 737),
('Hozski', 'Titen', 74),
('Podak', 'Zasov', 72),
('Jefic', 'Titen', 576),
('Hivski', 'Titen', 642),
('Wazoff', 'Zasov', 131);

CREATE TABLE deer (motion TEXT, taxes INTEGER, sauce TEXT, thing TEXT);
INSERT INTO deer VALUES
('Raben', 31, 'Gapon', 'Wevak'),
('Fufum', 380, 'Zoris', 'Nimer'),
('Bakis', 215, 'Jovski', 'Zober'),
('Mivis', 247, 'Gapon', 'Wevak'),
('Lapen', 609, 'Zoris', 'Nimer'),
('Bivak', 877, 'Gapon', 'Jedel'),
('Jemel', 276, 'Gapon', 'Navov'),
('Lelum', 323, 'Zurum', 'Jedel'),
('Suren', 208, 'Zurum', 'Buzoff'),
('Dugic', 464, 'Zurum', 'Buzoff');

CREATE TABLE lions (thing TEXT, party TEXT, force INTEGER);
INSERT INTO lions VALUES
('Buzoff', 'Hilin', 932),
('Nimer', 'Vetski', 980),
('Wevak', 'Wosak', 969),
('Jedel', 'Wosak', 771),
('Zober', 'Vetski', 441),
('Navov', 'Vetski', 531);

CREATE TABLE geese (valley TEXT, feature TEXT, kilos INTEGER, mayor TEXT);
INSERT INTO geese VALUES
('Pugum', 'Demov', 396, 'Fikov'),
('Lodum', 'Kuzoff', 34, 'Hirel'),
('Sisski', 'Kuzoff', 765, 'Fikov'),
('Falis', 'Demov', 618, 'Wudin'),
('Latov', 'Tanon', 443, 'Hirel'),
('Kavoff', 'Tanon', 236, 'Hetak'),
('Felak', 'Demov', 224, 'Sakov'),
('Fosin', 'Kuzoff', 32, 'Sakov'),
('Yovin', 'Manum', 334, 'Beren'),
('Difin', 'Demov', 479, 'Wudin');

CREATE TABLE dragons (mayor TEXT, ways INTEGER, garden TEXT);
INSERT INTO dragons VALUES
('Fikov', 712, 'Zetin'),
('Hirel', 638, 'Lunel'),
('Wudin', 260, 'Zetin'),
('Sakov', 770, 'Zetin'),
('Hetak', 310, 'Maren'),
('Beren', 671, 'Maren');

CREATE TABLE unions (truck TEXT, singles INTEGER, dish TEXT, baron TEXT);
INSERT INTO unions VALUES
('Tagin', 482, 'Yuger', 'Zapis'),
('Bafer', 472, 'Yipoff', 'Tifin'),
('Rodoff', 641, 'Yipoff', 'Garic'),
('Nipen', 22, 'Bisel', 'Kalon'),
('Kogen', 885, 'Yipoff', 'Holis'),
('Hubon', 43, 'Yuger', 'Holis'),
('Vurin', 349, 'Pevel', 'Garic'),
('Jatum', 85, 'Bisel', 'Tifin'),
('Zedov', 376, 'Yipoff', 'Zapis'),
('Tagoff', 626, 'Yuger', 'Zifon');

CREATE TABLE huts (baron TEXT, dean TEXT, signs INTEGER);
INSERT INTO huts VALUES
('Tifin', 'Hazski', 935),
('Garic', 'Joner', 305),
('Zapis', 'Joner', 429),
('Holis', 'Desak', 892),
('Kalon', 'Joner', 625),
('Zifon', 'Desak', 16);

CREATE TABLE hounds (truck TEXT, diet TEXT, inches INTEGER, boss TEXT);
INSERT INTO hounds VALUES
('Feber', 'Bevski', 992, 'Wagoff'),
('Nozski', 'Fumis', 467, 'Fupoff'),
('Lonak', 'Bevski', 129, 'Lorer'),
('Dutak', 'Fumis', 306, 'Besov'),
('Nitum', 'Fufum', 84, 'Mafak'),
('Rizov', 'Fufum', 128, 'Dizak'),
('Tetin', 'Fufum', 608, 'Lorer'),
('Zepak', 'Kobon', 863, 'Fupoff'),
('Bovon', 'Fumis', 823, 'Mafak'),
('Numoff', 'Fufum', 95, 'Wagoff');

CREATE TABLE essays (boss TEXT, crowd INTEGER, maker TEXT);
INSERT INTO essays VALUES
('Fupoff', 188, 'Fazis'),
('Lorer', 108, 'Dufak'),
('Mafak', 132, 'Dufak'),
('Wagoff', 278, 'Finic'),
('Besov', 396, 'Dufak'),
('Dizak', 626, 'Finic');

CREATE TABLE plums (lens TEXT, shares INTEGER, folk TEXT, event TEXT);
INSERT INTO plums VALUES
('Relov', 869, 'Jovski', 'Nekis'),
('Wipak', 957, 'Yuper', 'Sogum'),
('Hafel', 793, 'Gemak', 'Mofov'),
('Zanen', 445, 'Yuper', 'Nuvin'),
('Jagov', 380, 'Vifen', 'Nekis'),
('Sasel', 610, 'Jovski', 'Zufin'),
('Kiden', 504, 'Yuper', 'Sogum'),
('Folen', 894, 'Jovski', 'Nelen'),
('Vepum', 507, 'Yuper', 'Zufin'),
('Paboff', 825, 'Gemak', 'Mofov');

CREATE TABLE terms (event TEXT, herds INTEGER, buddy TEXT);
INSERT INTO terms VALUES
('Mofov', 755, 'Welis'),
('Zufin', 529, 'Welis'),
('Sogum', 306, 'Boker'),
('Nekis', 311, 'Jenen'),
('Nuvin', 48, 'Welis'),
('Nelen', 933, 'Jenen');

CREATE TABLE rockers (hostel TEXT, height INTEGER, writer TEXT, spot TEXT);
INSERT INTO rockers VALUES
('Jazak', 289, 'Namic', 'Mazak'),
('Batel', 80, 'Jizski', 'Gumoff'),
('Fapel', 980, 'Jizski', 'Mazak'),
('Nosic', 329, 'Gimov', 'Zuric'),
('Tukak', 308, 'Namic', 'Zuric'),
('Jotak', 657, 'Namic', 'Rilon'),
('Lopoff', 825, 'Gimov', 'Subel'),
('Junen', 541, 'Polum', 'Zopon'),
('Tufski', 820, 'Namic', 'Subel'),
('Wamis', 454, 'Jizski', 'Gumoff');

CREATE TABLE cookers (spot TEXT, chairs INTEGER, peer TEXT);
INSERT INTO cookers VALUES
('Zuric', 278, 'Wavel'),
('Mazak', 257, 'Simer'),
('Subel', 806, 'Wavel'),
('Gumoff', 265, 'Hopel'),
('Rilon', 447, 'Hopel'),
('Zopon', 434, 'Wavel');

CREATE TABLE salons (motion TEXT, notes INTEGER, code TEXT, fabric TEXT);
INSERT INTO salons VALUES
('Dosen', 410, 'Mumer', 'Zakon'),
('Rifis', 607, 'Mumer', 'Rurski'),
('Harski', 588, 'Padon', 'Yevum'),
('Hamer', 148, 'Padon', 'Kamski'),
('Denis', 483, 'Teroff', 'Zedin'),
('Yezis', 445, 'Padon', 'Kamski'),
('Rugski', 981, 'Rasel', 'Rurski'),
('Kivic', 992, 'Teroff', 'Yevum'),
('Zisel', 396, 'Padon', 'Sufak'),
('Dizis', 163, 'Mumer', 'Zakon');

CREATE TABLE motors (fabric TEXT, region TEXT, samples INTEGER);
INSERT INTO motors VALUES
('Zakon', 'Tuboff', 85),
('Kamski', 'Yofak', 946),
('Yevum', 'Segel', 439),
('Rurski', 'Yofak', 296),
('Zedin', 'Tuboff', 526),
('Sufak', 'Tuboff', 625);

CREATE TABLE calves (label TEXT, pumps INTEGER, poet TEXT, rule TEXT);
INSERT INTO calves VALUES
('Tanov', 309, 'Nakic', 'Bonon'),
('Ragel', 444, 'Petoff', 'Hopum'),
('Sunel', 451, 'Rinak', 'Jafum'),
('Sanin', 306, 'Petoff', 'Jafum'),
('Yupin', 490, 'Nakic', 'Disen'),
('Sebak', 891, 'Petoff', 'Pamis'),
('Yanski', 638, 'Petoff', 'Wasak'),
('Vadin', 108, 'Vurski', 'Hopum'),
('Lasin', 31, 'Rinak', 'Disen'),
('Tazin', 525, 'Rinak', 'Wasak');

CREATE TABLE peppers (rule TEXT, meters INTEGER, fabric TEXT);
INSERT INTO peppers VALUES
('Jafum', 992, 'Nagak'),
('Disen', 305, 'Jamen'),
('Wasak', 434, 'Nagak'),
('Hopum', 812, 'Jakum'),
('Bonon', 669, 'Jakum'),
('Pamis', 23, 'Nagak');

CREATE TABLE lists (player TEXT, fields INTEGER, city TEXT, sister TEXT);
INSERT INTO lists VALUES
('Kibov', 188, 'Walin', 'Jadis'),
('Gimon', 165, 'Zorer', 'Jadis'),
('Dovis', 663, 'Zorer', 'Hopum'),
('Hinski', 103, 'Kumis', 'Jotak'),
('Fabon', 129, 'Dirak', 'Jekin'),
('Wisin', 75, 'Dirak', 'Hedin'),
('Yogen', 904, 'Walin', 'Hedin'),
('Walak', 364, 'Zorer', 'Jotak'),
('Jepen', 796, 'Walin', 'Hopum'),
('Tugis', 170, 'Zorer', 'Lasak');

CREATE TABLE towers (sister TEXT, hours INTEGER, thing TEXT);
INSERT INTO towers VALUES
('Jadis', 51, 'Wader'),
('Jotak', 407, 'Wader'),
('Hopum', 456, 'Mufski'),
('Hedin', 106, 'Pavum'),
('Lasak', 112, 'Mufski'),
('Jekin', 246, 'Mufski');
